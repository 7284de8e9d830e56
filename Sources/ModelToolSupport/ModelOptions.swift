import ArgumentParser
import Foundation
import Tokenization
import ToolSupport
import Transformer

/// The model and how it computes.
package struct ModelOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("Model folder: config.json, safetensors, tokenizer.", valueName: "model"))
  package var folder: String

  @Option(help: "Arithmetic of the matmuls: f32, or bf16 factors with f32 sums.")
  package var compute = Compute.float32

  @Option(
    help: ArgumentHelp(
      "Rounding of the rotary frequencies.",
      discussion: """
        Exact is right for trained checkpoints. bf16 and f16 reproduce programs that convert a whole model to that type, \
        its frequencies included.
        """))
  package var ropeFrequencies = FrequencyRounding.exact

  @Option(
    name: .customLong("chunk"),
    help: ArgumentHelp("Tokens per forward pass. Results do not depend on it.", valueName: "tokens"))
  package var givenChunk: Int?

  /// Tokens per forward pass where nothing speaks for another size.
  package var chunk: Int { givenChunk ?? 256 }

  package init() {}

  package func validate() throws {
    guard (1...8192).contains(chunk) else { throw ValidationError("--chunk \(chunk) is not in 1...8192.") }
  }

  package func load() throws -> DecoderModel {
    try DecoderModel(folder: folder, compute: compute, frequencies: ropeFrequencies)
  }

  package func tokenizer(_ configuration: ModelConfiguration) throws -> any Tokenizer {
    try ModelTokenizer.load(folder: folder, vocabularySize: configuration.vocabularySize)
  }
}

extension Input {
  /// Token ids from a file, or standard input for `-`, with a JSON array of them.
  package static func tokenIDs(_ path: String) throws -> [UInt32] {
    let data = Data(try text(path))
    guard let ids = try? JSONDecoder().decode([UInt32].self, from: data), !ids.isEmpty else {
      throw ToolError("\(path) is not a JSON array of token ids, such as [73, 110]")
    }
    return ids
  }
}

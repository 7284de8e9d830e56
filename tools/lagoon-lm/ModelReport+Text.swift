import Foundation
import ToolSupport

extension ModelReport {
  /// For people.
  var text: String { overview + "\n" + cacheTable + "\n" + memoryTable }

  private var overview: String {
    let shape =
      "\(layers) layers, \(queryHeads) query heads over \(kvHeads) KV heads of \(headDim), hidden "
      + "\(hiddenSize), MLP \(intermediateSize), vocabulary \(Units.count(vocabularySize))"
    let files = "\(weights.files) file\(weights.files == 1 ? "" : "s")"
    let opened =
      "\(Units.seconds(opening.seconds)), \(Units.bytes(opening.residentBytes)) more memory than before"
    let ends = endTokens.map { String($0) }.joined(separator: ", ")
    let lines: [(name: String, value: String)] = [
      ("family", family + ": " + shape),
      ("parameters", Units.count(parameters)),
      ("weights", "\(Units.bytes(weights.mappedBytes)) in \(files), \(elementTypes)"),
      ("opened in", opened),
      ("rope", rope),
      ("trained for", maximumPositions.map { "\(Units.count($0)) tokens" } ?? "not said"),
      ("tokenizer", tokenizer),
      ("end tokens", ends.isEmpty ? "none" : ends),
      ("chat template", chatTemplate ? "there, and not applied: prompts go in as they are" : "none"),
    ]
    return lines.map { $0.name.padding(toLength: 15, withPad: " ", startingAt: 0) + $0.value + "\n" }.joined()
  }

  /// `BF16`, or several with what each takes.
  private var elementTypes: String {
    let types = weights.bytesOfType.sorted { $0.value > $1.value }
    return types.map { types.count == 1 ? $0.key : "\($0.key) \(Units.bytes($0.value))" }.joined(
      separator: ", ")
  }

  private var cacheTable: String {
    var table = Table([
      ("kept", .left), ("rows per head", .right), ("bf16", .right), ("per token", .right), ("f32", .right),
    ])
    for cache in caches {
      table.add([
        cache.ratio.map { "ratio \($0)" } ?? "all", Units.count(cache.rowsPerHead),
        Units.bytes(cache.bf16Bytes),
        Units.bytes(Int(cache.bf16BytesPerToken.rounded())), Units.bytes(cache.f32Bytes),
      ])
    }
    return "K and V of a document of \(Units.count(tokens)) tokens, sinks \(sinks), lag \(lag):\n"
      + table.text
  }

  private var memoryTable: String {
    var table = Table([
      ("compute", .left), ("copied weights", .right), ("working", .right), ("kernel", .left),
    ])
    for entry in memory {
      table.add([
        entry.compute, Units.bytes(entry.copiedBytes), Units.bytes(entry.workingBytes), entry.kernel,
      ])
    }
    return
      "Memory to run, beside \(Units.bytes(weights.mappedBytes)) of mapped files that the system may drop:\n"
      + table.text
  }
}

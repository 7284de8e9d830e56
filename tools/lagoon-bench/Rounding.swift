import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import LanguageModel
import ModelToolSupport
import ToolSupport
import Transformer

struct Rounding: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "How far attention's output is off when rows are stored in bf16, or in 8 bits.",
    discussion: """
      A document goes through the model on a session of f32 rows. The same queries, keys and values go to sessions of bf16 rows and \
      of 8-bit ones. The figure is ‖out − out of f32‖ / ‖out of f32‖ over all queries whose session keeps rows behind its sinks; the \
      ceiling is that of bf16 rows. Sessions whose policy selects by the rows may keep other rows of bf16 than of f32, so the default \
      policy keeps every row: what is left is rounding alone.

      EXAMPLES
        lagoon-bench rounding data/kjv-tiny --text kjv.txt
        lagoon-bench rounding data/kjv-tiny --text kjv.txt --tokens 16384 --lag 64 --json
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: "The document: a file.")
  var text: String

  @Option(help: "Tokens of it that are read.")
  var tokens = 4096

  @Option(help: "Tokens of a partition: as many rows share the scales of a channel of keys, at most 128.")
  var lag = 128

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard lag > 0, tokens > 3 * lag else {
      throw ValidationError("--tokens must be more than three times --lag, which is positive")
    }
  }

  func run() throws {
    let decoder = try model.load()
    let c = decoder.configuration
    let ids = try model.firstTokens(tokens, of: text, c)
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let connection = try LagoonConnection(
      socketPath: daemon.socketPath, arenaBytes: DaemonAttention.arenaBytes(c, chunk: model.chunk))
    let kinds: [(name: String, type: ElementType, codec: Codec)] = [
      ("f32", .float32, .raw), ("bf16", .bfloat16, .raw), ("q8 of f32", .float32, .q8),
      ("q8 of bf16", .bfloat16, .q8),
    ]
    let sessions = try kinds.map { kind in
      var parameters = SessionParameters(
        name: kind.name, layers: c.layers, kvHeads: c.kvHeads, headDim: c.headDim, elementType: kind.type,
        policy: .full, lag: lag)
      parameters.codec = kind.codec
      let session = try connection.createSession(parameters)
      try session.begin(capacity: model.chunk)
      return session
    }
    let compared = ComparedAttention(sessions, c)
    let progress = ProgressLine(total: tokens, unit: "tokens")
    for first in stride(from: 0, to: tokens, by: model.chunk) {
      let range = first..<min(first + model.chunk, tokens)
      compared.counts = first >= 3 * lag
      _ = try decoder.forward(ids[range], startPosition: first, attention: compared, logits: .none)
      for session in sessions { try session.commit(tokenIDs: Array(ids[range]), keepWriting: true) }
      progress.update(range.upperBound)
    }
    progress.finish()
    let figures = (0..<c.layers).flatMap { layer in
      [2, 3].map { kind in
        Figure(
          name: "layer \(layer), \(kinds[kind].name)", figure: compared.error(kind, layer),
          ceiling: compared.error(1, layer), unit: "relative error", ceilingIs: "that of bf16 rows")
      }
    }
    try report(figures, json: output.json)
  }
}

/// The same attention on several sessions; the forward pass goes on with the first one's.
private final class ComparedAttention: StepAttention {
  var counts = false
  private let all: [DaemonAttention]
  /// Squares of differences and of the first session's outputs, by session and layer.
  private var differences: [[Double]]
  private var squares: [Double]
  private var other: [Float] = []

  init(_ sessions: [RemoteSession], _ c: ModelConfiguration) {
    all = sessions.map { DaemonAttention($0, c) }
    differences = Array(repeating: Array(repeating: 0, count: c.layers), count: sessions.count)
    squares = Array(repeating: 0, count: c.layers)
  }

  func error(_ session: Int, _ layer: Int) -> Double { sqrt(differences[session][layer] / squares[layer]) }

  func step(
    layer: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
    values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>
  ) throws {
    try all[0].step(layer: layer, queries: queries, keys: keys, values: values, tokens: tokens, into: out)
    if counts { for value in out { squares[layer] += Double(value * value) } }
    if other.count != out.count { other = [Float](repeating: 0, count: out.count) }
    for session in all.indices.dropFirst() {
      try other.withUnsafeMutableBufferPointer {
        try all[session].step(
          layer: layer, queries: queries, keys: keys, values: values, tokens: tokens, into: $0)
      }
      guard counts else { continue }
      for (a, b) in zip(other, out) { differences[session][layer] += Double((a - b) * (a - b)) }
    }
  }
}

import Evaluation
import Foundation
import ToolSupport

/// Prints what `eval` measured, a row for each policy.
struct EvalReport {
  let model: String
  let task: String
  let compute: String

  private struct Document<Result: Encodable>: Encodable {
    var model: String
    var task: String
    var compute: String
    var results: [Result]
  }

  func write(_ results: [RecallResult], json: Bool, details: Bool) throws {
    if json {
      let results = results.map { result in
        var result = result
        if !details { result.outcomes = [] }
        return result
      }
      return try Output.json(Document(model: model, task: task, compute: compute, results: results))
    }
    var table = Table([
      ("policy", .left), ("ratio", .right), ("kept", .right), ("right", .right), ("recall", .right),
      ("95%", .right), ("in part", .right), ("answer NLL", .right), ("evidence", .right), ("time", .right),
    ])
    for result in results {
      let evidence = result.layers.compactMap(\.evidence)
      table.add([
        result.policy, ratio(result.policy, result.ratio), decimal(result.kept, 3),
        "\(result.right)/\(result.asked)", decimal(result.recall.value, 3),
        decimal(result.recall.low, 3) + "–" + decimal(result.recall.high, 3), decimal(result.meanShare, 3),
        decimal(result.answerNLL, 4),
        evidence.isEmpty ? "" : decimal(evidence.reduce(0, +) / Double(evidence.count), 3),
        Units.seconds(result.seconds),
      ])
    }
    try Output.write(table.text)
    guard let first = results.first else { return }
    try Output.write(
      "\(Units.count(first.documents)) documents, \(Units.count(first.tokens)) tokens, "
        + "\(Units.count(first.questions)) questions; sinks \(first.sinks), lag \(first.lag); \(compute)\n")
  }

  func write(_ results: [BitsPerByteResult], json: Bool) throws {
    if json {
      let rows = results.map { Prediction(bitsPerByte: $0.bitsPerByte, result: $0) }
      return try Output.json(Document(model: model, task: task, compute: compute, results: rows))
    }
    guard let first = results.first else { return }
    var table = Table(
      [("policy", .left), ("ratio", .right), ("kept", .right), ("all", .right)]
        + first.buckets.map { ("<\(Units.count($0.to))", .right) } + [("time", .right)])
    for result in results {
      table.add(
        [
          result.policy, ratio(result.policy, result.ratio), decimal(result.kept, 3),
          decimal(result.bitsPerByte, 4),
        ]
          + result.buckets.map { decimal($0.bitsPerByte, 4) } + [Units.seconds(result.seconds)])
    }
    try Output.write(table.text)
    try Output.write(
      "bits per byte at positions below; \(Units.count(first.documents)) documents, "
        + "\(Units.count(first.tokens)) tokens; sinks \(first.sinks), lag \(first.lag); \(compute)\n")
  }

  /// A result and what is reckoned from it.
  private struct Prediction: Encodable {
    var bitsPerByte: Double
    var result: BitsPerByteResult

    private struct Bucket: Encodable {
      var from: Int
      var to: Int
      var tokens: Int
      var bitsPerByte: Double

      enum CodingKeys: String, CodingKey {
        case from, to, tokens
        case bitsPerByte = "bits_per_byte"
      }
    }

    private enum CodingKeys: String, CodingKey {
      case buckets
      case bitsPerByte = "bits_per_byte"
    }

    func encode(to encoder: any Encoder) throws {
      try result.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(bitsPerByte, forKey: .bitsPerByte)
      try container.encode(
        result.buckets.map {
          Bucket(from: $0.from, to: $0.to, tokens: $0.tokens, bitsPerByte: $0.bitsPerByte)
        },
        forKey: .buckets)
    }
  }

  private func ratio(_ policy: String, _ value: Double) -> String {
    ["full", "streaming"].contains(policy) ? "" : "\(value)"
  }

  private func decimal(_ value: Double, _ digits: Int) -> String {
    String(format: "%.\(digits)f", value)
  }
}

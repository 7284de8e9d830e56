/// Writes a record as one line of JSON.
///
/// Doubles have as many digits as it takes to read the same bits back. JSON has no infinities and no NaN: such a value is null, and
/// the member `not_finite` says what it was: `"loss":null,"not_finite":{"loss":"nan"}`.
struct MetricsLine {
  private var text = "{"
  private var notFinite: [(name: String, value: Double)] = []

  /// The line with its newline, UTF-8.
  static func bytes(of record: RunRecord) -> [UInt8] {
    var line = MetricsLine()
    switch record {
    case .step(let record): line.add(record)
    case .evaluation(let record): line.add(record)
    case .event(let record): line.add(record)
    }
    return line.finished()
  }

  private mutating func add(_ record: StepRecord) {
    typealias Key = StepRecord.CodingKeys
    add("kind", "step")
    add(Key.step.rawValue, record.step)
    add(Key.tokens.rawValue, record.tokens)
    add(Key.documents.rawValue, record.documents)
    add(Key.loss.rawValue, record.loss)
    add(Key.targets.rawValue, record.targets)
    add(Key.learningRate.rawValue, record.learningRate)
    add(Key.gradientNorm.rawValue, record.gradientNorm)
    add(Key.seconds.rawValue, record.seconds)
    add(Key.tokensPerSecond.rawValue, record.tokensPerSecond)
    if let skipped = record.skipped { add(Key.skipped.rawValue, skipped) }
  }

  private mutating func add(_ record: EvaluationRecord) {
    typealias Key = EvaluationRecord.CodingKeys
    add("kind", "evaluation")
    add(Key.step.rawValue, record.step)
    add(Key.loss.rawValue, record.loss)
    if let bitsPerByte = record.bitsPerByte { add(Key.bitsPerByte.rawValue, bitsPerByte) }
    add(Key.documents.rawValue, record.documents)
    if let keptSetDrift = record.keptSetDrift { add(Key.keptSetDrift.rawValue, keptSetDrift) }
    begin(Key.isBest.rawValue)
    text += record.isBest ? "true" : "false"
  }

  private mutating func add(_ record: EventRecord) {
    add("kind", "event")
    add("step", record.step)
    add("what", record.what.rawValue)
    add("detail", record.detail)
  }

  private mutating func begin(_ name: String) {
    if text.utf8.last != UInt8(ascii: "{") { text += "," }
    text += "\"\(name)\":"
  }

  private mutating func add(_ name: String, _ value: Int) {
    begin(name)
    text += String(value)
  }

  private mutating func add(_ name: String, _ value: Double) {
    begin(name)
    if value.isFinite {
      // The shortest decimal that is nearest to the value and no other.
      text += value.description
    } else {
      text += "null"
      notFinite.append((name, value))
    }
  }

  private mutating func add(_ name: String, _ value: String) {
    begin(name)
    text += Self.quoted(value)
  }

  private consuming func finished() -> [UInt8] {
    if !notFinite.isEmpty {
      begin("not_finite")
      text += "{"
      for (name, value) in notFinite { add(name, value.description) }
      text += "}"
    }
    text += "}\n"
    return Array(text.utf8)
  }

  /// A JSON string: one line, whatever it holds.
  private static func quoted(_ value: String) -> String {
    var result = "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

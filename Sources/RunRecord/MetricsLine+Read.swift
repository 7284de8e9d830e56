import StrictJSON

/// The members of one line, read with their types checked.
private struct MetricsFields {
  struct Failure: Error {
    let message: String
  }

  private let members: [String: JSONValue]
  private let notFinite: [String: JSONValue]

  init(_ bytes: [UInt8]) throws(Failure) {
    let value: JSONValue
    do throws(JSONError) {
      // A record has about a dozen values; a line of thousands is none.
      value = try JSONValue(bytes, maximumValues: 4096)
    } catch {
      throw Failure(message: "not a JSON object: \(error)")
    }
    guard case .object(let members) = value else { throw Failure(message: "not a JSON object") }
    self.members = members
    switch members["not_finite"] {
    case nil: notFinite = [:]
    case .object(let values)?: notFinite = values
    case let other?: throw Failure(message: "not_finite is \(other), not an object")
    }
  }

  func integer(_ name: String) throws(Failure) -> Int {
    guard case .integer(let value)? = members[name], value >= 0 else {
      throw unexpected(name, "a whole number of at least 0")
    }
    return value
  }

  func double(_ name: String) throws(Failure) -> Double {
    guard let value = try optionalDouble(name) else { throw unexpected(name, "a number") }
    return value
  }

  /// nil only where the member is absent; null is the value that `not_finite` names.
  func optionalDouble(_ name: String) throws(Failure) -> Double? {
    guard let member = members[name] else { return nil }
    if let value = member.double { return value }
    guard member == .null else { throw unexpected(name, "a number") }
    switch notFinite[name] {
    case .string("inf")?: return .infinity
    case .string("-inf")?: return -.infinity
    case .string("nan")?, nil: return .nan
    case let other?:
      throw Failure(message: "not_finite.\(name) is \(other), not \"nan\", \"inf\" or \"-inf\"")
    }
  }

  func string(_ name: String) throws(Failure) -> String {
    guard let value = try optionalString(name) else { throw unexpected(name, "a string") }
    return value
  }

  func optionalString(_ name: String) throws(Failure) -> String? {
    switch members[name] {
    case nil, .null?: return nil
    case .string(let value)?: return value
    default: throw unexpected(name, "a string")
    }
  }

  func boolean(_ name: String) throws(Failure) -> Bool {
    guard case .boolean(let value)? = members[name] else { throw unexpected(name, "true or false") }
    return value
  }

  private func unexpected(_ name: String, _ expected: String) -> Failure {
    let found = members[name].map { "is \($0)" } ?? "is missing"
    return Failure(message: "\(name) \(found); it must be \(expected)")
  }
}

extension RunRecord {
  /// Reads one line, its newline not included. Members that are not known are left alone, so that later versions can add some.
  ///
  /// - Throws: `malformed`, naming the file, the line and the member.
  init(line bytes: [UInt8], number: Int, path: String) throws(RunRecordError) {
    do throws(MetricsFields.Failure) {
      self = try Self.read(MetricsFields(bytes))
    } catch {
      throw RunRecordError(.malformed, error.message, path: path, line: number)
    }
  }

  private static func read(_ fields: MetricsFields) throws(MetricsFields.Failure) -> RunRecord {
    switch try fields.string("kind") {
    case "step":
      typealias Key = StepRecord.CodingKeys
      return .step(
        StepRecord(
          step: try fields.integer(Key.step.rawValue), tokens: try fields.integer(Key.tokens.rawValue),
          documents: try fields.integer(Key.documents.rawValue), loss: try fields.double(Key.loss.rawValue),
          targets: try fields.integer(Key.targets.rawValue),
          learningRate: try fields.double(Key.learningRate.rawValue),
          gradientNorm: try fields.double(Key.gradientNorm.rawValue),
          seconds: try fields.double(Key.seconds.rawValue),
          tokensPerSecond: try fields.double(Key.tokensPerSecond.rawValue),
          skipped: try fields.optionalString(Key.skipped.rawValue)))
    case "evaluation":
      typealias Key = EvaluationRecord.CodingKeys
      return .evaluation(
        EvaluationRecord(
          step: try fields.integer(Key.step.rawValue), loss: try fields.double(Key.loss.rawValue),
          bitsPerByte: try fields.optionalDouble(Key.bitsPerByte.rawValue),
          documents: try fields.integer(Key.documents.rawValue),
          keptSetDrift: try fields.optionalDouble(Key.keptSetDrift.rawValue),
          isBest: try fields.boolean(Key.isBest.rawValue)))
    case "event":
      return .event(
        EventRecord(
          step: try fields.integer("step"), what: .init(rawValue: try fields.string("what")),
          detail: try fields.string("detail")))
    case let kind:
      throw MetricsFields.Failure(
        message: "kind is \"\(kind.prefix(60))\"; known are step, evaluation and event")
    }
  }
}

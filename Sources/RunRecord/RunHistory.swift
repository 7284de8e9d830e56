import Foundation

/// What a run has recorded so far.
public struct RunHistory: Sendable, Hashable {
  /// The file's name in a run's folder.
  public static let fileName = "metrics.jsonl"

  /// The folder's name.
  public let name: String
  /// In ascending order of steps.
  public private(set) var steps: [StepRecord] = []
  public private(set) var evaluations: [EvaluationRecord] = []
  public private(set) var events: [EventRecord] = []
  /// The number of the last line when it has no end: it is being written, or its writer died. It was left out.
  public private(set) var tornLine: Int?

  public init(
    name: String, steps: [StepRecord] = [], evaluations: [EvaluationRecord] = [], events: [EventRecord] = []
  ) {
    self.name = name
    self.steps = steps
    self.evaluations = evaluations
    self.events = events
  }

  /// Reads a run, which may still be going on.
  ///
  /// - Parameter folder: the run's.
  /// - Throws: `io` when there is no record; `malformed`, with the line's number, when a line is none, or a step comes twice or
  ///   after a later one.
  public init(folder: String) throws(RunRecordError) {
    name = URL(filePath: folder).standardizedFileURL.lastPathComponent
    let path = (folder as NSString).appendingPathComponent(Self.fileName)
    guard var reader = try LineReader.open(path) else {
      throw RunRecordError(.io, "there is no such file; \(folder) is not the folder of a run", path: path)
    }
    while let line = try reader.next() {
      guard !line.isTorn else {
        tornLine = line.number
        break
      }
      switch try RunRecord(line: line.bytes, number: line.number, path: path) {
      case .step(let record):
        if let last = steps.last, record.step <= last.step {
          throw RunRecordError(
            .malformed,
            "step \(record.step) comes after step \(last.step): have two trainers written to this folder?",
            path: path, line: line.number)
        }
        steps.append(record)
      case .evaluation(let record): evaluations.append(record)
      case .event(let record): events.append(record)
      }
    }
  }
}

import Foundation

/// Writes down what a run does: `metrics.jsonl` in the run's folder, one JSON object a line, and scalars for TensorBoard beside it.
///
/// A record is handed to the operating system with one write before `append` returns, so it survives the process's death. The
/// formats stand in docs/decisions/0014-run-records.md.
public final class RunLog {
  private var metrics: AppendFile
  private var events: EventFile
  private let now: () -> Double

  /// Begins a run's record, or takes it up again.
  ///
  /// - Parameters:
  ///   - folder: the run's; made when there is none.
  ///   - step: that of the checkpoint from which the run goes on. Later records are removed, and a last line that its writer
  ///     could not end. 0: the record begins anew.
  /// - Throws: `io`, or `malformed` when a line of the record to take up is none; then the record is as it was.
  public convenience init(folder: String, keepingThroughStep step: Int) throws(RunRecordError) {
    try self.init(folder: folder, keepingThroughStep: step) { Date().timeIntervalSince1970 }
  }

  /// - Parameter now: the time in seconds since 1970.
  package init(folder: String, keepingThroughStep step: Int, now: @escaping () -> Double)
    throws(RunRecordError)
  {
    precondition(step >= 0, "a checkpoint's step is not negative")
    try Self.makeFolder(folder)
    let path = (folder as NSString).appendingPathComponent(RunHistory.fileName)
    try MetricsCut.cut(path, through: step)
    metrics = try AppendFile.open(path)
    events = try EventFile.create(folder: folder, firstStep: step == 0 ? 0 : step + 1, now: now())
    self.now = now
  }

  public func append(_ record: StepRecord) throws(RunRecordError) {
    try append(
      .step(record),
      [
        ("loss/train", record.loss), ("learning_rate", record.learningRate),
        ("gradient_norm", record.gradientNorm), ("tokens_per_second", record.tokensPerSecond),
      ])
  }

  public func append(_ record: EvaluationRecord) throws(RunRecordError) {
    var scalars = [("loss/held_out", record.loss)]
    if let bitsPerByte = record.bitsPerByte { scalars.append(("bits_per_byte/held_out", bitsPerByte)) }
    if let drift = record.keptSetDrift { scalars.append(("kept_set_drift", drift)) }
    try append(.evaluation(record), scalars)
  }

  public func append(_ record: EventRecord) throws(RunRecordError) {
    try append(.event(record), [])
  }

  private func append(_ record: RunRecord, _ scalars: [(String, Double)]) throws(RunRecordError) {
    try metrics.append(MetricsLine.bytes(of: record))
    guard !scalars.isEmpty else { return }
    let named = scalars.map { (tag: $0.0, value: $0.1) }
    try events.append([EventMessage(wallTime: now(), step: record.step, content: .scalars(named))])
  }

  /// Returns when all records are on the disk. A checkpoint that is to survive a power cut comes after it.
  public func synchronize() throws(RunRecordError) {
    try metrics.synchronize()
    try events.synchronize()
  }

  /// Ends the record. The files themselves are closed with the log's life.
  public func close() throws(RunRecordError) { try synchronize() }

  private static func makeFolder(_ folder: String) throws(RunRecordError) {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw RunRecordError(.io, "cannot make the folder: \(error.localizedDescription)", path: folder)
    }
  }
}

import Foundation
import RunRecord

/// A folder of its own, removed at the end.
func withFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.path + "/lagoon-record-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try body(folder)
}

func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

func step(_ step: Int, loss: Double = 2.5, skipped: String? = nil) -> StepRecord {
  StepRecord(
    step: step, tokens: step * 8192, documents: 8, loss: loss, targets: 8184, learningRate: 3e-4,
    gradientNorm: 0.7, seconds: 1.25, tokensPerSecond: 6553.6, skipped: skipped)
}

func evaluation(_ step: Int, drift: Double? = nil, isBest: Bool = false) -> EvaluationRecord {
  EvaluationRecord(
    step: step, loss: 2.25, bitsPerByte: 3.2, documents: 4, keptSetDrift: drift, isBest: isBest)
}

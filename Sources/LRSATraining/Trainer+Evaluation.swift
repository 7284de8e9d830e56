import DurableFiles
import Foundation
import RunRecord
import TrainingData
import Transformer

extension Trainer {
  /// Reads held-out documents as the run's first choice of what is kept has it; keeps the parameters if none were better.
  func evaluate() throws {
    let count = min(cadence.evaluationDocuments, corpus.heldOutCount)
    var (loss, targets) = (0.0, 0)
    // nil once a document's text is not known.
    var bytes: Int? = 0
    var drift: Double?
    for index in 0..<count {
      observe(.evaluating(step: state.step, documents: index))
      let document = try corpus.heldOut(index)
      let read = try retrying(undo: {}, body: { try self.read(document, probe: index == 0) })
      loss += read.loss
      drift = read.drift ?? drift
      targets += document.targetCount
      bytes = document.bytes > 0 ? bytes.map { $0 + document.bytes } : nil
    }
    let mean = loss / Double(max(targets, 1))
    let isBest = mean < state.bestLoss ?? .infinity
    if isBest {
      try model.save(to: folder.best)
      state.bestLoss = mean
    }
    state.evaluatedStep = state.step
    let record = EvaluationRecord(
      step: state.step, loss: mean, bitsPerByte: bytes.map { loss / log(2) / Double($0) },
      documents: count, keptSetDrift: drift, isBest: isBest)
    try runLog.append(record)
    observe(.evaluation(record))
  }

  /// - Parameter probe: whether its kept sets are compared with those of the first evaluation.
  private func read(_ document: TrainingDocument, probe: Bool) throws -> (loss: Double, drift: Double?) {
    try withAttention(of: [document], first: nil) { lanes in
      let pass = BatchPass<Source.Attention>(decoder: decoder, chunk: settings.chunk)
      let loss = try pass.evaluate(lanes) { _ in try stopIfAsked() }
      return (loss, probe ? try keptSetDrift(lanes[0].attention) : nil)
    }
  }

  /// The share of chosen rows that the run's first evaluation did not choose, in the same document.
  private func keptSetDrift(_ attention: Source.Attention) throws -> Double? {
    guard let chosen = try attention.chosenPositions(), chosen.contains(where: { !$0.isEmpty }) else {
      return nil
    }
    let path = folder.probePath
    guard let data = FileManager.default.contents(atPath: path) else {
      try AtomicFile.write(JSONEncoder().encode(chosen), to: path)
      return 0
    }
    let baseline = try JSONDecoder().decode([[UInt32]].self, from: data)
    guard baseline.count == chosen.count else { return nil }
    var changed = 0
    for (now, before) in zip(chosen, baseline) { changed += Set(now).subtracting(before).count }
    return Double(changed) / Double(chosen.reduce(0) { $0 + $1.count })
  }
}

import TrainingData

/// Where a run stands between two groups of documents: with the parameters, the optimiser's moments and, within a step, the
/// gradients so far, all that the rest of the run depends on.
struct RunState: Codable, Sendable, Hashable {
  static let version = 1

  var version = RunState.version
  /// Optimiser steps done.
  var step = 0
  /// Documents of the present step whose gradients are in.
  var documentsOfStep = 0
  /// Loss of the present step so far, over its number of targets, in nats.
  var lossOfStep = 0.0
  /// Seconds spent on the present step so far.
  var secondsOfStep = 0.0
  /// Where the data stood when the present step began.
  var order: DataOrder
  /// Tokens and documents of all finished steps.
  var tokens = 0
  var documents = 0
  var optimizerSteps = 0
  var spikes: SpikeFilter?
  /// The lowest held-out loss so far, in nats per target.
  var bestLoss: Double?
  /// The last step after which the held-out documents were read.
  var evaluatedStep: Int?
}

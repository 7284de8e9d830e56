import TrainingData

/// Where a run stands between two groups of documents: with the parameters, the optimiser's moments and, within a step, the
/// gradients so far, all that the rest of the run depends on.
package struct RunState: Codable, Sendable, Hashable {
  package static let version = 1

  package var version = RunState.version
  /// Optimiser steps done.
  package var step = 0
  /// Documents of the present step whose gradients are in.
  package var documentsOfStep = 0
  /// Loss of the present step so far, over its number of targets, in nats.
  package var lossOfStep = 0.0
  /// Seconds spent on the present step so far.
  package var secondsOfStep = 0.0
  /// Where the data stood when the present step began.
  package var order: DataOrder
  /// Tokens and documents of all finished steps.
  package var tokens = 0
  package var documents = 0
  package var optimizerSteps = 0
  package var spikes: SpikeFilter?
  /// The lowest held-out loss so far, in nats per target.
  package var bestLoss: Double?
  /// The last step after which the held-out documents were read.
  package var evaluatedStep: Int?

  package init(order: DataOrder, spikes: SpikeFilter? = nil) {
    self.order = order
    self.spikes = spikes
  }
}

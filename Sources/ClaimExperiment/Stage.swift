/// A run of `lagoon-train`, in the experiment's folder, whose output is kept.
package struct Stage: Sendable, Hashable {
  package enum Kind: String, Sendable, Hashable, CaseIterable { case plant, train, evaluate }

  package var name: String
  package var kind: Kind
  /// Of `lagoon-train`.
  package var arguments: [String]
  /// Names of the stages that come before.
  package var needs: [String]
  /// In tokens that are read: time is about proportional to it within a kind.
  package var work: Double
  /// The run's folder, of a training.
  package var run: String?
}

/// A model of the experiment.
package struct TrainedModel: Sendable, Hashable {
  package var arm: Arm
  /// nil: of the untouched model, which has none.
  package var seed: Int?

  package init(arm: Arm, seed: Int?) {
    self.arm = arm
    self.seed = seed
  }

  package static let base = TrainedModel(arm: .base, seed: nil)
  package static let pilot = TrainedModel(arm: .dense, seed: ExperimentDesign.pilotSeed)

  package var name: String {
    guard let seed else { return arm.rawValue }
    return seed == ExperimentDesign.pilotSeed ? "pilot-\(arm.rawValue)" : "\(seed)-\(arm.rawValue)"
  }

  package func stage(of set: String) -> String { "eval-\(name)-\(set)" }
}

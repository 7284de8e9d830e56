/// What is fixed before anything is run; `docs/results.md` says why.
package struct ExperimentDesign: Codable, Sendable, Hashable {
  /// Folder of the untouched model.
  package var model: String
  /// Of the training documents and their order; the same in every arm.
  package var seeds: [Int]
  package var steps: Int
  package var documentsPerStep: Int
  /// Of the main test set; the others are smaller.
  package var documents: Int
  /// Tokens, which are bytes, of a training document.
  package var length: Int
  package var sinks: Int
  package var lag: Int
  /// In a document, drawn uniformly.
  package var fewestNumbers: Int
  package var mostNumbers: Int
  /// Too small to show anything: does the machinery work?
  package var isSmoke: Bool

  package init(
    model: String, seeds: [Int], steps: Int, documentsPerStep: Int, documents: Int, length: Int = 2048,
    sinks: Int = 4,
    lag: Int = 64,
    numbers: ClosedRange<Int> = 4...16, isSmoke: Bool = false
  ) {
    self.model = model
    self.seeds = seeds
    self.steps = steps
    self.documentsPerStep = documentsPerStep
    self.documents = documents
    self.length = length
    self.sinks = sinks
    self.lag = lag
    fewestNumbers = numbers.lowerBound
    mostNumbers = numbers.upperBound
    self.isSmoke = isSmoke
  }

  package static let digits = 8
  /// Of the training documents.
  package static let plainShare = 0.5
  /// The last share of the text, which only test documents are drawn from.
  package static let holdOut = 0.05
  package static let learningRate = 3e-4
  package static let finalShare = 0.1
  package static let weightDecay = 0.1
  package static let clip = 1.0
  /// Of the pilot's training documents: none of the experiment's.
  package static let pilotSeed = 100
  /// Of the main test set's documents; the pilot's and the other sets' have the following ones.
  package static let testSeed = 9000

  package var warmUp: Int { min(50, steps / 10) }
  /// A question stands further behind its statement than the window reaches.
  package var gap: Int { 2 * lag }
  /// In a test document: with more, a model of this size confuses them even when it has all of them in view.
  var mostTestNumbers: Int { max(fewestNumbers, mostNumbers / 2) }
  /// Of a seed; none is seen twice.
  package var trainingDocuments: Int { steps * documentsPerStep }
}

/// How a model was trained.
package enum Arm: String, Codable, Sendable, Hashable, CaseIterable {
  /// Not at all.
  case base
  case dense
  case lrsa
  /// Rows dropped by chance, as many as LagKV drops.
  case random

  package static let trained: [Arm] = [.dense, .lrsa, .random]

  /// For tables.
  package var title: String {
    switch self {
    case .base: "base"
    case .dense: "dense"
    case .lrsa: "LRSA"
    case .random: "random"
    }
  }

  /// What it is trained under; nil: it is not trained.
  func keep(_ ratio: Double) -> Keep? {
    switch self {
    case .base: nil
    case .dense: .full
    case .lrsa: .lagkv(ratio)
    case .random: .random(ratio)
    }
  }
}

/// A policy, and the share of a partition that it keeps.
package struct Keep: Sendable, Hashable {
  package var policy: String
  /// nil: the policy keeps all or nothing.
  package var ratio: Double?

  package init(_ policy: String, _ ratio: Double? = nil) {
    self.policy = policy
    self.ratio = ratio
  }

  package static let full = Keep("full")
  package static let streaming = Keep("streaming")
  package static func lagkv(_ ratio: Double) -> Keep { Keep("lagkv", ratio) }
  package static func random(_ ratio: Double) -> Keep { Keep("random", ratio) }
  package static func l2norm(_ ratio: Double) -> Keep { Keep("l2norm", ratio) }

  /// For `lagoon-train eval --keep`.
  var argument: String { policy + (ratio.map { ":\($0)" } ?? "") }

  /// For tables: `lagkv 1/8`.
  package var title: String { policy + (ratio.map { " \(Ratio.text($0))" } ?? "") }
}

package enum Ratio {
  /// `1/8`, or digits where it is no such fraction.
  package static func text(_ ratio: Double) -> String {
    let inverse = (1 / ratio).rounded()
    guard ratio > 0, abs(1 / inverse - ratio) < 1e-12 else { return "\(ratio)" }
    return inverse == 1 ? "1" : "1/\(Int(inverse))"
  }
}

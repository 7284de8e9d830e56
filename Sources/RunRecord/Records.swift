/// One optimiser step.
public struct StepRecord: Codable, Sendable, Hashable {
  /// Optimiser steps done, this one included: 1 for the first.
  public var step: Int
  /// Tokens read so far, in total.
  public var tokens: Int
  /// Documents of this step.
  public var documents: Int
  /// Nats per target.
  public var loss: Double
  /// Tokens of this step that were predicted.
  public var targets: Int
  public var learningRate: Double
  /// L2, before clipping.
  public var gradientNorm: Double
  /// Wall-clock time of the step.
  public var seconds: Double
  public var tokensPerSecond: Double
  /// Why the weights were left as they were; nil when they were updated.
  public var skipped: String?

  public init(
    step: Int, tokens: Int, documents: Int, loss: Double, targets: Int, learningRate: Double,
    gradientNorm: Double, seconds: Double, tokensPerSecond: Double, skipped: String? = nil
  ) {
    self.step = step
    self.tokens = tokens
    self.documents = documents
    self.loss = loss
    self.targets = targets
    self.learningRate = learningRate
    self.gradientNorm = gradientNorm
    self.seconds = seconds
    self.tokensPerSecond = tokensPerSecond
    self.skipped = skipped
  }

  enum CodingKeys: String, CodingKey {
    case step, tokens, documents, loss, targets, seconds, skipped
    case learningRate = "learning_rate"
    case gradientNorm = "gradient_norm"
    case tokensPerSecond = "tokens_per_second"
  }
}

/// A look at documents that are held out of training.
public struct EvaluationRecord: Codable, Sendable, Hashable {
  /// Optimiser steps done; 0 before the first.
  public var step: Int
  /// Nats per target.
  public var loss: Double
  /// Of text; nil when the number of bytes is not known.
  public var bitsPerByte: Double?
  public var documents: Int
  /// Share, 0 to 1, of kept rows of a probe document that differ from the first evaluation's; nil when nothing is evicted.
  public var keptSetDrift: Double?
  /// No evaluation of this run had a lower loss before.
  public var isBest: Bool

  public init(
    step: Int, loss: Double, bitsPerByte: Double? = nil, documents: Int, keptSetDrift: Double? = nil,
    isBest: Bool
  ) {
    self.step = step
    self.loss = loss
    self.bitsPerByte = bitsPerByte
    self.documents = documents
    self.keptSetDrift = keptSetDrift
    self.isBest = isBest
  }

  enum CodingKeys: String, CodingKey {
    case step, loss, documents
    case bitsPerByte = "bits_per_byte"
    case keptSetDrift = "kept_set_drift"
    case isBest = "is_best"
  }
}

/// Something that happened to a run.
public struct EventRecord: Codable, Sendable, Hashable {
  /// The kind of event. More kinds may come.
  public struct What: RawRepresentable, Codable, Sendable, Hashable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The loss was far above what went before.
    public static let spike = What(rawValue: "spike")
    /// The run was taken up again from a checkpoint.
    public static let resume = What(rawValue: "resume")
  }

  /// Optimiser steps done.
  public var step: Int
  public var what: What
  /// For people: which document, why, what came of it.
  public var detail: String

  public init(step: Int, what: What, detail: String) {
    self.step = step
    self.what = what
    self.detail = detail
  }
}

/// One line of a run's record.
public enum RunRecord: Sendable, Hashable {
  case step(StepRecord)
  case evaluation(EvaluationRecord)
  case event(EventRecord)

  /// Optimiser steps done when it was written.
  public var step: Int {
    switch self {
    case .step(let record): record.step
    case .evaluation(let record): record.step
    case .event(let record): record.step
    }
  }
}

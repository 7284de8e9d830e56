import Foundation
import Transformer

/// All that a run's result depends on, beside its model and data; written into the run's folder when it begins, and the same
/// when it is resumed.
public struct RunSettings: Codable, Sendable, Hashable {
  public static let version = 1

  public var version = RunSettings.version
  /// The folder of the model that the run begins with.
  public var model: String
  /// Identifies the data.
  public var corpus: String
  /// Of a document that is not cut, or of a piece.
  public var maximumTokens: Int
  public var documentsPerStep: Int
  /// Documents that go through the decoder together.
  public var documentsTogether: Int
  /// Tokens of a document in a pass.
  public var chunk: Int
  public var compute: String
  /// Rounding of the rotary frequencies.
  public var ropeFrequencies: String
  /// Rotary settings in place of the model's.
  public var rope: RotaryOverride?
  public var schedule: LearningRateSchedule
  public var optimizer: AdamW.Settings
  /// The gradient's largest norm; a longer one is scaled down to it. nil: not clipped.
  public var clip: Double?
  /// A loss above this multiple of the recent median is left out; nil: none is.
  public var spikeFactor: Double?
  public var seed: UInt64
  /// nil: full attention in this process.
  public var attention: AttentionSettings?
  /// What is trained, for people: all weights, or an adapter of some rank.
  public var trained: String

  public init(
    model: String, corpus: String, maximumTokens: Int, documentsPerStep: Int, documentsTogether: Int,
    chunk: Int, compute: String, ropeFrequencies: String, rope: RotaryOverride?,
    schedule: LearningRateSchedule, optimizer: AdamW.Settings, clip: Double?,
    spikeFactor: Double?, seed: UInt64, attention: AttentionSettings?, trained: String
  ) {
    self.model = model
    self.corpus = corpus
    self.maximumTokens = maximumTokens
    self.documentsPerStep = documentsPerStep
    self.documentsTogether = documentsTogether
    self.chunk = chunk
    self.compute = compute
    self.ropeFrequencies = ropeFrequencies
    self.rope = rope
    self.schedule = schedule
    self.optimizer = optimizer
    self.clip = clip
    self.spikeFactor = spikeFactor
    self.seed = seed
    self.attention = attention
    self.trained = trained
  }

  /// As in the run's folder: sorted keys.
  package func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }

  /// The fields, by their JSON names, in which two settings differ.
  package func differences(from other: RunSettings) throws -> [String] {
    func fields(_ settings: RunSettings) throws -> [String: NSObject] {
      let object = try JSONSerialization.jsonObject(with: settings.json())
      return object as? [String: NSObject] ?? [:]
    }
    let (mine, others) = (try fields(self), try fields(other))
    return Set(mine.keys).union(others.keys).filter { mine[$0] != others[$0] }.sorted()
  }
}

/// What `lagoon-train eval --json` printed: of recall, or of bits per byte.
package struct EvalOutput: Decodable, Sendable {
  package var compute: String
  package var results: [Measurement]
}

/// One policy's row of it.
package struct Measurement: Decodable, Sendable, Hashable {
  package struct Interval: Decodable, Sendable, Hashable {
    package var value: Double
    package var low: Double
    package var high: Double
  }

  package struct Layer: Decodable, Sendable, Hashable {
    package var layer: Int
    /// Rows at a document's end, window included, of its tokens.
    package var rows: Double
    /// Of the answers' bytes, those still there when they are asked for.
    package var evidence: Double?
  }

  package var policy: String
  package var ratio: Double
  /// Rows at the documents' ends, window included, of their tokens, over all layers.
  package var kept: Double
  package var layers: [Layer]
  package var right: Int?
  package var asked: Int?
  /// With Wilson's 95% interval, which takes the questions for independent.
  package var recall: Interval?
  /// Nats per token of the right answers.
  package var answerNLL: Double?
  package var bitsPerByte: Double?

  enum CodingKeys: String, CodingKey {
    case policy, ratio, kept, layers, right, asked, recall
    case answerNLL = "answer_nll"
    case bitsPerByte = "bits_per_byte"
  }

  func isOf(_ keep: Keep) -> Bool {
    policy == keep.policy && (keep.ratio.map { abs($0 - ratio) < 1e-9 } ?? true)
  }
}

/// All that has been measured so far.
package struct Measurements: Sendable {
  package let design: ExperimentDesign
  /// By the names of their stages.
  private let outputs: [String: EvalOutput]

  package init(_ design: ExperimentDesign, _ outputs: [String: EvalOutput]) {
    self.design = design
    self.outputs = outputs
  }

  package subscript(_ model: TrainedModel, _ set: String, _ keep: Keep) -> Measurement? {
    outputs[model.stage(of: set)]?.results.first { $0.isOf(keep) }
  }

  /// The ratio of the experiment; nil before the pilot has been asked.
  package var choice: RatioChoice? {
    var recalls: [Double: Double] = [:]
    for ratio in RatioChoice.candidates {
      guard let recall = self[.pilot, "pilot", .lagkv(ratio)]?.recall else { return nil }
      recalls[ratio] = recall.value
    }
    return RatioChoice(recalls)
  }

  /// How the matmuls were computed, by any of the outputs.
  package var compute: String? { outputs.sorted { $0.key < $1.key }.first?.value.compute }

  /// A figure of each seed's model of an arm, those that are there. The untouched model's is every seed's.
  package func bySeed(
    _ arm: Arm, _ set: String, _ keep: Keep, _ figure: (Measurement) -> Double?
  ) -> [Int: Double] {
    var values: [Int: Double] = [:]
    for seed in design.seeds {
      let model = arm == .base ? .base : TrainedModel(arm: arm, seed: seed)
      values[seed] = self[model, set, keep].flatMap(figure)
    }
    return values
  }

  /// Exact recall of each seed's model.
  package func recall(_ arm: Arm, _ set: String, _ keep: Keep) -> [Int: Double] {
    bySeed(arm, set, keep) { $0.recall?.value }
  }

  /// Mean over the seeds; nil when no seed is there.
  package func mean(_ values: [Int: Double]) -> Double? { Estimate(Array(values.values))?.mean }
}

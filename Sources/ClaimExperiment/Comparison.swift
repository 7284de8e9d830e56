/// What the arms differ in at the experiment's ratio, seed by seed.
package struct Comparison: Sendable {
  let measurements: Measurements
  let ratio: Double

  package init(_ measurements: Measurements, ratio: Double) {
    self.measurements = measurements
    self.ratio = ratio
  }

  /// LRSA's exact recall at the ratio minus the dense control's.
  package var primary: Estimate? { recall(.lrsa, minus: .dense) }

  package func recall(_ left: Arm, minus right: Arm, _ set: String = "main", _ keep: Keep? = nil) -> Estimate?
  {
    let keep = keep ?? .lagkv(ratio)
    return Estimate(measurements.recall(left, set, keep), minus: measurements.recall(right, set, keep))
  }

  package func answerNLL(_ left: Arm, minus right: Arm, _ keep: Keep) -> Estimate? {
    Estimate(
      measurements.bySeed(left, "main", keep, \.answerNLL),
      minus: measurements.bySeed(right, "main", keep, \.answerNLL))
  }

  package func bitsPerByte(_ left: Arm, minus right: Arm, _ keep: Keep) -> Estimate? {
    Estimate(
      measurements.bySeed(left, "plain", keep, \.bitsPerByte),
      minus: measurements.bySeed(right, "plain", keep, \.bitsPerByte))
  }

  /// Of what the dense control loses by the ratio, the share that an arm has back: `(arm_r − dense_r) / (dense_full − dense_r)`.
  ///
  /// - Returns: of each seed that has the figures, and whose dense control loses anything.
  package func recovery(_ arm: Arm) -> [Int: Double] {
    let (compressed, dense) = (
      measurements.recall(arm, "main", .lagkv(ratio)), measurements.recall(.dense, "main", .lagkv(ratio))
    )
    let full = measurements.recall(.dense, "main", .full)
    var values: [Int: Double] = [:]
    for (seed, recall) in compressed {
      guard let low = dense[seed], let high = full[seed], high > low else { continue }
      values[seed] = (recall - low) / (high - low)
    }
    return values
  }

  /// Recall of the dense control under the full cache, from which on a set counts: what a model cannot do with everything in view says
  /// nothing of what is left out.
  package static let leastFullRecall = 0.9

  /// - Returns: nil when it is not known yet.
  package func counts(_ set: String) -> Bool? {
    measurements.mean(measurements.recall(.dense, set, .full)).map { $0 >= Self.leastFullRecall }
  }

  /// What the primary figure says, by the rule of the design.
  package enum Verdict: Sendable, Hashable { case better, worse, undecided, doesNotCount }

  /// - Returns: nil before every seed is there, or when one seed is all.
  package var verdict: Verdict? {
    guard let primary, primary.count == measurements.design.seeds.count, let interval = primary.interval,
      let counts = counts("main")
    else { return nil }
    if !counts { return .doesNotCount }
    if interval.lowerBound > 0 { return .better }
    return interval.upperBound < 0 ? .worse : .undecided
  }
}

import StrictJSON

extension ConfigFields {
  /// The older `rope_theta` with `rope_scaling`, or the newer `rope_parameters`.
  ///
  /// - Parameter maximumPositions: `max_position_embeddings`, which some types fall back to.
  func rotaryParameters(maximumPositions: Int?) throws(ModelError) -> RotaryParameters {
    let field = has("rope_parameters") ? "rope_parameters" : "rope_scaling"
    if has("rope_parameters"), has("rope_scaling") {
      throw failure(.unsupported, "rope_scaling", "stands beside rope_parameters; one of the two is expected")
    }
    var theta = has("rope_theta") ? try number("rope_theta") : nil
    var scaling = RotaryScaling.none
    if has(field) {
      guard case .object(let inner) = self[field] else {
        throw failure(.malformed, field, "\(self[field]) is not an object")
      }
      if inner.values.contains(where: { if case .object = $0 { true } else { false } }) {
        throw failure(.unsupported, field, "\(self[field]): settings per layer type are not supported")
      }
      let settings = ConfigFields(inner, path: path, prefix: field + ".")
      try settings.refuse("partial_rotary_factor", unless: [.integer(1), .number(1)])
      if settings.has("rope_theta") {
        let value = try settings.number("rope_theta")
        if let outer = theta, outer != value {
          throw settings.failure(.malformed, "rope_theta", "\(value) contradicts rope_theta, \(outer)")
        }
        theta = value
      }
      let outer = has("original_max_position_embeddings") ? self["original_max_position_embeddings"] : nil
      scaling = try settings.rotaryScaling(
        originalPositions: outer, theta: theta ?? 10_000, maximumPositions: maximumPositions)
    }
    let value = theta ?? 10_000
    guard value > 0, value.isFinite else {
      throw failure(.malformed, "rope_theta", "\(value) is not positive")
    }
    return RotaryParameters(theta: value, scaling: scaling)
  }

  /// These settings' `rope_type` with what it needs.
  private func rotaryScaling(
    originalPositions outer: JSONValue?, theta: Double, maximumPositions: Int?
  ) throws(ModelError) -> RotaryScaling {
    let typeField = has("rope_type") ? "rope_type" : "type"
    guard has(typeField) else { return .none }
    let type = try string(typeField)
    if typeField == "rope_type", has("type"), try string("type") != type {
      throw failure(.malformed, "type", "\(self["type"]) contradicts rope_type, \"\(type)\"")
    }
    func positions() throws(ModelError) -> Int {
      let name = "original_max_position_embeddings"
      if has(name) { return try integer(name, in: 1...Self.maximumPositions) }
      if let outer {
        guard case .integer(let value) = outer, (1...Self.maximumPositions).contains(value) else {
          throw ModelError(
            .malformed, "\(outer) is not an integer in 1...\(Self.maximumPositions)", path: path, name: name)
        }
        return value
      }
      guard let maximumPositions else {
        throw failure(.malformed, name, "absent, and so is max_position_embeddings, its default")
      }
      return maximumPositions
    }
    switch type {
    case "default": return .none
    case "linear": return .linear(factor: try factor())
    case "llama3":
      let low = try number("low_freq_factor")
      let high = try number("high_freq_factor")
      guard low > 0, high > low else {
        throw failure(.malformed, "high_freq_factor", "\(high) is not above low_freq_factor, \(low), above 0")
      }
      return .llama3(
        factor: try factor(), lowFrequencyFactor: low, highFrequencyFactor: high,
        originalPositions: try positions())
    case "yarn":
      guard theta > 1 else {
        throw failure(.malformed, "rope_theta", "\(theta): yarn needs a base above 1")
      }
      return .yarn(try yarn(originalPositions: positions(), maximumPositions: maximumPositions))
    default:
      throw failure(
        .unsupported, typeField, "\"\(type)\" is not supported; supported: default, linear, llama3, yarn")
    }
  }

  /// `factor`, at least 1.
  private func factor(default absent: Double? = nil) throws(ModelError) -> Double {
    let value = try number("factor", default: absent)
    guard value >= 1 else { throw failure(.malformed, "factor", "\(value) is below 1") }
    return value
  }

  /// Defaults as in the reference implementation (transformers 5, `_compute_yarn_parameters`): a zero counts as absent.
  private func yarn(originalPositions: Int, maximumPositions: Int?) throws(ModelError) -> YarnParameters {
    let ratio = maximumPositions.map { Double($0) / Double(originalPositions) }
    let factor = try factor(default: ratio)
    func positive(_ field: String) throws(ModelError) -> Double? {
      let value = try number(field, default: 0)
      guard value >= 0 else { throw failure(.malformed, field, "\(value) is negative") }
      return value == 0 ? nil : value
    }
    let attentionFactor: Double
    if has("attention_factor") {
      attentionFactor = try number("attention_factor")
      guard attentionFactor > 0 else {
        throw failure(.malformed, "attention_factor", "\(attentionFactor) is not positive")
      }
    } else if let mscale = try positive("mscale"), let allDimensions = try positive("mscale_all_dim") {
      attentionFactor =
        YarnParameters.attentionFactor(factor, mscale: mscale)
        / YarnParameters.attentionFactor(factor, mscale: allDimensions)
    } else {
      attentionFactor = YarnParameters.attentionFactor(factor)
    }
    let fast = try positive("beta_fast") ?? 32
    let slow = try positive("beta_slow") ?? 1
    guard fast >= slow else {
      throw failure(.malformed, "beta_fast", "\(fast) is below beta_slow, \(slow)")
    }
    return YarnParameters(
      factor: factor, originalPositions: originalPositions, betaFast: fast, betaSlow: slow,
      truncate: try boolean("truncate", default: true), attentionFactor: attentionFactor)
  }
}

import Foundation
import StrictJSON

/// Other rotary settings than the model's own, so that it can be trained on longer contexts: a larger base, YaRN, or both.
///
/// Decoders that are trained with it are saved with it: `config.json` gets the settings in the spelling that it already has.
public struct RotaryOverride: Codable, Sendable, Hashable {
  /// The base of the frequencies, `rope_theta`; nil keeps the model's.
  public var theta: Double?
  /// YaRN's factor, at least 1: contexts become that much longer than the original. It takes the place of whatever scaling the
  /// model has; nil keeps that.
  public var yarnFactor: Double?
  /// The positions that YaRN stretches; nil for what the model's own scaling stretches, or else its `max_position_embeddings`.
  public var originalPositions: Int?

  public init(theta: Double? = nil, yarnFactor: Double? = nil, originalPositions: Int? = nil) {
    self.theta = theta
    self.yarnFactor = yarnFactor
    self.originalPositions = originalPositions
  }

  /// The settings that a model gets.
  ///
  /// - Throws: `invalidArgument` for a base that is not positive (with YaRN: not above 1), a factor below 1, positions without a
  ///   factor, or a factor for a model that does not say how many positions it was trained for.
  public func parameters(for model: ModelConfiguration) throws(ModelError) -> RotaryParameters {
    let theta = self.theta ?? model.rope.theta
    guard theta > 0, theta.isFinite else { throw Self.failure("theta", "\(theta) is not positive") }
    guard let yarnFactor else {
      guard originalPositions == nil else {
        throw Self.failure(
          "originalPositions", "without a factor there is nothing that they are stretched by")
      }
      if case .yarn = model.rope.scaling, theta <= 1 {
        throw Self.failure("theta", "\(theta): yarn needs a base above 1")
      }
      return RotaryParameters(theta: theta, scaling: model.rope.scaling)
    }
    guard yarnFactor >= 1, yarnFactor.isFinite else {
      throw Self.failure("yarnFactor", "\(yarnFactor) is below 1")
    }
    guard theta > 1 else { throw Self.failure("theta", "\(theta): yarn needs a base above 1") }
    guard let positions = originalPositions ?? model.rope.originalPositions ?? model.maximumPositions else {
      throw Self.failure(
        "originalPositions", "the model does not say how many positions it was trained for; give them")
    }
    guard (1...ConfigFields.maximumPositions).contains(positions) else {
      throw Self.failure("originalPositions", "\(positions) is not in 1...\(ConfigFields.maximumPositions)")
    }
    guard Double(positions) * yarnFactor <= Double(ConfigFields.maximumPositions) else {
      throw Self.failure("yarnFactor", "\(yarnFactor) times \(positions) positions are too many")
    }
    return RotaryParameters(
      theta: theta,
      scaling: .yarn(
        YarnParameters(
          factor: yarnFactor, originalPositions: positions,
          attentionFactor: YarnParameters.attentionFactor(yarnFactor))))
  }

  private static func failure(_ name: String, _ message: String) -> ModelError {
    ModelError(.invalidArgument, message, name: name)
  }

  /// A folder's `config.json` with these settings in it, in its own spelling.
  ///
  /// - Throws: as ``parameters(for:)``; what is wrong with the file.
  func applied(to config: Data, path: String) throws(ModelError) -> Data {
    let model = try ModelConfiguration(json: config, path: path)
    let rope = try parameters(for: model)
    let isNewer = try ConfigFields(config, path: path).has("rope_parameters")
    do throws(JSONError) {
      var text = try JSONObjectText([UInt8](config))
      if isNewer {
        try text.set("rope_parameters", to: rope.json(withTheta: true))
        if try text.has("rope_theta") { try text.set("rope_theta", to: "\(rope.theta)") }
      } else {
        try text.set("rope_theta", to: "\(rope.theta)")
        if rope.scaling != .none { try text.set("rope_scaling", to: rope.json(withTheta: false)) }
      }
      if case .yarn(let yarn) = rope.scaling, yarnFactor != nil {
        let reach = (Double(yarn.originalPositions) * yarn.factor).rounded()
        try text.set("max_position_embeddings", to: "\(Int(reach))")
        // Where it stands outside, programs prefer it to the one inside.
        if try text.has("original_max_position_embeddings") {
          try text.set("original_max_position_embeddings", to: "\(yarn.originalPositions)")
        }
      }
      return Data(text.bytes)
    } catch {
      throw ModelError(.malformed, "not a JSON object: \(error)", path: path)
    }
  }
}

extension RotaryParameters {
  /// The context of the first training, where the scaling has it.
  fileprivate var originalPositions: Int? {
    switch scaling {
    case .none, .linear: nil
    case .llama3(_, _, _, let positions): positions
    case .yarn(let yarn): yarn.originalPositions
    }
  }

  /// The value of `rope_parameters`, or without the base that of `rope_scaling`. Numbers are written so that they read back as
  /// the same bits.
  fileprivate func json(withTheta: Bool) -> String {
    var members: [(String, String)] = []
    switch scaling {
    case .none: members = [("rope_type", "\"default\"")]
    case .linear(let factor): members = [("rope_type", "\"linear\""), ("factor", "\(factor)")]
    case .llama3(let factor, let low, let high, let positions):
      members = [
        ("rope_type", "\"llama3\""), ("factor", "\(factor)"), ("low_freq_factor", "\(low)"),
        ("high_freq_factor", "\(high)"), ("original_max_position_embeddings", "\(positions)"),
      ]
    case .yarn(let yarn):
      members = [
        ("rope_type", "\"yarn\""), ("factor", "\(yarn.factor)"),
        ("original_max_position_embeddings", "\(yarn.originalPositions)"),
      ]
      members += [("beta_fast", "\(yarn.betaFast)"), ("beta_slow", "\(yarn.betaSlow)")]
      if !yarn.truncate { members.append(("truncate", "false")) }
      members.append(("attention_factor", "\(yarn.attentionFactor)"))
    }
    if withTheta { members.append(("rope_theta", "\(theta)")) }
    return "{" + members.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
  }
}

import ArgumentParser
import LagKV
import LagoonClient
import LagoonProtocol
import ToolSupport
import Transformer

/// What a session keeps. Options that are not given are nil, so that resuming can tell them from those that contradict.
package struct RetentionOptions: ParsableArguments {
  package static let defaultSinks = 16
  package static let defaultLag = 128
  package static let defaultRatio = 0.25

  @Option(help: "Which rows of a partition are kept (default: lagkv; for logits, full).")
  package var policy: PolicyKind?

  @Option(help: "First tokens that are always kept (default: \(defaultSinks)).")
  package var sinks: Int?

  @Option(
    help: "Tokens of a partition (default: \(defaultLag)). One to two partitions at the end stay whole.")
  package var lag: Int?

  @Option(help: "Share of a partition that is kept, 0...1 (default: \(defaultRatio)).")
  package var ratio: Double?

  @Option(help: "Element type of stored K and V.")
  package var dtype: ElementType?

  @Option(help: "Weight of the value score in policy lagkv (default: 1).")
  package var valueWeight: Double?

  @Option(help: ArgumentHelp("Layers kept whole, such as 0,1.", valueName: "layers"))
  package var exemptLayers: LayerList?

  @Option(
    help:
      "Seed of what is drawn: the rows of policy random, and the order of a training's data (default: 0).")
  package var seed: UInt64?

  package init() {}

  package func validate() throws {
    do throws(RetentionError) {
      _ = try RetentionParameters(
        policy: policy ?? .lagkv, sinks: sinks ?? Self.defaultSinks, lag: lag ?? Self.defaultLag,
        ratio: ratio ?? Self.defaultRatio, valueWeight: valueWeight ?? 1)
    } catch {
      throw ValidationError("\(Self.options[error.code] ?? "\(error.code)"): \(error.message).")
    }
  }

  private static let options: [RetentionError.Code: String] = [
    .sinks: "--sinks", .lag: "--lag", .ratio: "--ratio", .valueWeight: "--value-weight",
  ]

  /// The layers that are kept whole.
  ///
  /// - Throws: when the model does not have one of them.
  package func exempt(_ configuration: ModelConfiguration) throws(ToolError) -> Set<Int> {
    let layers = exemptLayers?.layers ?? []
    if let layer = layers.first(where: { $0 >= configuration.layers }) {
      throw ToolError(
        "--exempt-layers: there is no layer \(layer); the model has 0 to \(configuration.layers - 1)")
    }
    return Set(layers)
  }

  /// The session that these options ask for.
  ///
  /// - Throws: as `exempt`.
  package func parameters(
    name: String, _ configuration: ModelConfiguration, fingerprint: [UInt8], dtype defaultType: ElementType,
    policy defaultPolicy: PolicyKind = .lagkv, codec: CodecOption? = nil
  ) throws(ToolError) -> SessionParameters {
    var parameters = SessionParameters(
      name: name, layers: configuration.layers, kvHeads: configuration.kvHeads,
      headDim: configuration.headDim,
      elementType: dtype ?? defaultType, policy: policy ?? defaultPolicy, sinks: sinks ?? Self.defaultSinks,
      lag: lag ?? Self.defaultLag, ratio: ratio ?? Self.defaultRatio, valueWeight: valueWeight ?? 1,
      seed: seed ?? 0,
      exemptLayers: try exempt(configuration), fingerprint: fingerprint)
    parameters.codec = codec?.codec ?? .raw
    return parameters
  }

  /// - Throws: when an option that was given differs from what the session was made with.
  package func check(against session: SessionParameters, codec: CodecOption, archive: Bool) throws {
    func check<Value: Equatable>(_ option: String, _ given: Value?, _ stored: Value) throws {
      guard let given, given != stored else { return }
      throw ToolError(
        "session '\(session.name)' was made with \(option) \(stored), not \(given); leave the option out to resume, "
          + "or choose another --session")
    }
    try check("--policy", policy?.name, session.policy.name)
    try check("--sinks", sinks, session.sinks)
    try check("--lag", lag, session.lag)
    try check("--ratio", ratio, session.ratio)
    try check("--dtype", dtype?.name, session.elementType.name)
    try check("--codec", codec.codec?.name, session.codec.name)
    try check("--value-weight", valueWeight, session.valueWeight)
    try check("--exempt-layers", exemptLayers?.layers.sorted(), session.exemptLayers.sorted())
    try check("--seed", seed, session.seed)
    guard session.archive || !archive else {
      throw ToolError(
        "session '\(session.name)' was made without --archive; leave the option out to resume, or choose another --session"
      )
    }
  }
}

/// How a session's kept rows are stored.
package struct CodecOption: ParsableArguments {
  @Option(help: "How kept rows are stored (new sessions; default: raw).")
  package var codec: Codec?

  package init() {}
}

/// Layer numbers with commas between them.
package struct LayerList: ExpressibleByArgument {
  package let layers: [Int]

  package init?(argument: String) {
    var layers: [Int] = []
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      guard let layer = Int(part), layer >= 0 else { return nil }
      layers.append(layer)
    }
    self.layers = layers
  }
}

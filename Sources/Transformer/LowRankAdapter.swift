/// A LoRA adapter of a decoder in training.
///
/// The decoder's weights are made from the adapter's: `W = W₀ + scale · B · A` stands in `decoder.weights`, and the gradient of
/// `W` that the decoder's backward pass leaves is projected onto the two factors. This is exact, by the chain rule, and the
/// decoder needs no second path through its layers. One optimiser step:
///
///     decoder.gradients.setToZero()
///     …                                    // forward and backward passes, as without an adapter
///     try adapter.collectGradients()
///     // the optimiser reads adapter.gradients and changes adapter.parameters
///     try adapter.apply()
///
/// All other parameters of the decoder stay as they were when the adapter was made, whatever their gradients are.
public final class LowRankAdapter {
  public let configuration: LowRankConfiguration
  /// The adapter's parameters under PEFT's names, such as
  /// `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`. After changing any, call ``apply()``.
  public let parameters: ParameterBuffer
  /// The gradient of each, as of the last ``collectGradients()``.
  public let gradients: ParameterBuffer
  public let decoder: TrainableDecoder

  let layout: LowRankLayout
  private let products: LowRankProducts
  /// `W₀` of each matrix that gets an adapter.
  private let base: ParameterBuffer

  /// A fresh adapter, which changes nothing yet: `A` is uniform in `±1/√inputs` (PEFT's, Kaiming's with `a = √5`) and `B` zero.
  ///
  /// - Parameters:
  ///   - decoder: its weights are the base; it must have no other adapter.
  ///   - seed: of `A`.
  /// - Throws: `invalidArgument` naming the field of `adapter_config.json` that does not fit the model.
  public init(
    _ decoder: TrainableDecoder, _ configuration: LowRankConfiguration, seed: UInt64
  ) throws(ModelError) {
    let layout = try LowRankLayout(decoder.configuration, configuration)
    self.layout = layout
    self.decoder = decoder
    self.configuration = configuration
    products = try LowRankProducts()
    parameters = ParameterBuffer(layout.parameters)
    gradients = ParameterBuffer(layout.parameters)
    base = ParameterBuffer(ParameterLayout(layout.matrices.map { ($0.weight.name, $0.weight.shape) }))
    var generator = SplitMix64(seed: seed)
    for (matrix, kept) in zip(layout.matrices, base.layout.tensors) {
      _ = base.writable(kept.range).update(from: decoder.weights.readable(matrix.weight.range))
      let bound = 1 / Double(matrix.inputs).squareRoot()
      let a = parameters.writable(matrix.a.range)
      for index in a.indices { a[index] = Float((2 * generator.unit() - 1) * bound) }
    }
    for part in layout.whole {
      _ = parameters.writable(part.saved.range).update(from: decoder.weights.readable(part.weight.range))
    }
  }

  /// An adapter from a folder that ``save(to:)`` or PEFT wrote, applied to the decoder.
  ///
  /// - Throws: as ``load(from:)``.
  public convenience init(_ decoder: TrainableDecoder, folder: String) throws(ModelError) {
    let file = try AdapterFile(folder: folder)
    try file.check(decoder.configuration)
    do throws(ModelError) {
      try self.init(decoder, file.configuration, seed: 0)
    } catch {
      throw file.located(error)
    }
    try file.read(layout, into: parameters)
    try apply()
  }

  /// Brings the decoder's weights up to date with the adapter's parameters.
  public func apply() throws(ModelError) {
    for (matrix, kept) in zip(layout.matrices, base.layout.tensors) {
      let weight = decoder.weights.writable(matrix.weight.range)
      _ = weight.update(from: base.readable(kept.range))
      try products.update(weight, matrix, parameters, scale: configuration.scale)
    }
    for part in layout.whole {
      _ = decoder.weights.writable(part.weight.range).update(from: parameters.readable(part.saved.range))
    }
    try decoder.weightsChanged()
  }

  /// Overwrites ``gradients`` with what the decoder's gradients mean for the adapter: `dB = scale · dW · Aᵀ`,
  /// `dA = scale · Bᵀ · dW`. Gradients of frozen parameters are ignored.
  public func collectGradients() throws(ModelError) {
    for matrix in layout.matrices {
      try products.gradients(
        decoder.gradients.readable(matrix.weight.range), matrix, parameters, scale: configuration.scale,
        into: gradients)
    }
    for part in layout.whole {
      _ = gradients.writable(part.saved.range).update(from: decoder.gradients.readable(part.weight.range))
    }
  }

  /// Writes the adapter as PEFT does and loads it: `adapter_config.json` and, in f32, `adapter_model.safetensors`. Where the
  /// decoder has a ``RotaryOverride``, `rotary_override.json` beside them says so to ``LowRankMerge``; PEFT knows nothing of it.
  ///
  /// The folder is made if it is not there. Each file appears whole or not at all, the weights last, and is on the disk when this
  /// returns.
  ///
  /// - Throws: `io`.
  public func save(to folder: String) throws(ModelError) {
    try AdapterFile.write(
      configuration, layout, parameters, decoder.source, to: folder)
  }

  /// Reads the parameters of an adapter of the same kind, bit for bit; ``apply()`` brings them into the decoder.
  ///
  /// - Throws: `io`, `malformed`, `unsupported`; `mismatch` naming the field or tensor that is not as in this adapter. Then nothing
  ///   has changed.
  public func load(from folder: String) throws(ModelError) {
    let file = try AdapterFile(folder: folder)
    try file.check(decoder.configuration)
    let other: LowRankLayout
    do throws(ModelError) {
      other = try LowRankLayout(decoder.configuration, file.configuration)
    } catch {
      throw file.located(error)
    }
    func check<Value: Equatable>(_ field: String, _ value: Value, _ own: Value) throws(ModelError) {
      guard value != own else { return }
      throw file.located(ModelError(.mismatch, "\(value), and this adapter has \(own)", name: field))
    }
    try check("r", file.configuration.rank, configuration.rank)
    try check("use_rslora", file.configuration.isRankStabilized, configuration.isRankStabilized)
    try check("lora_alpha", file.configuration.alpha, configuration.alpha)
    let (theirs, ours) = (
      Set(other.parameters.tensors.map(\.name)), Set(layout.parameters.tensors.map(\.name))
    )
    if let name = theirs.symmetricDifference(ours).min() {
      throw file.located(
        ModelError(.mismatch, theirs.contains(name) ? "not of this adapter" : "missing", name: name))
    }
    try file.read(layout, into: parameters)
  }
}

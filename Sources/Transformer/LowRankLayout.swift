/// Which parameters of a decoder an adapter changes, and where its own stand, under the names that PEFT gives them in files.
struct LowRankLayout {
  /// A matrix that gets `scale · B · A` added.
  struct Matrix {
    /// `[outputs, inputs]`, in the decoder.
    let weight: ParameterLayout.Tensor
    /// `[rank, inputs]` and `[outputs, rank]`, in the adapter.
    let a: ParameterLayout.Tensor
    let b: ParameterLayout.Tensor

    var outputs: Int { weight.shape[0] }
    var inputs: Int { weight.shape[1] }
    var rank: Int { a.shape[0] }
  }

  /// A parameter that is trained as a whole.
  struct Whole {
    /// In the decoder.
    let weight: ParameterLayout.Tensor
    /// In the adapter, of the same shape.
    let saved: ParameterLayout.Tensor
  }

  let matrices: [Matrix]
  let whole: [Whole]
  /// The adapter's parameters, in the order of the forward pass.
  let parameters: ParameterLayout
  /// The adapter's embedding where it is also the head, which files have once more as ``tiedHeadName``.
  let tiedEmbedding: ParameterLayout.Tensor?

  /// What PEFT puts before the names of a decoder's modules.
  private static let prefix = "base_model.model."
  static let tiedHeadName = prefix + DecoderTensors.head

  /// - Throws: `invalidArgument` naming the field of `adapter_config.json`, and the module, that does not fit the model.
  init(_ model: ModelConfiguration, _ configuration: LowRankConfiguration) throws(ModelError) {
    let decoder = ParameterLayout(model)
    try Self.check(configuration)
    var shapes: [(name: String, shape: [Int])] = []
    var weights: [(weight: ParameterLayout.Tensor, isMatrix: Bool)] = []
    var unused = (targets: Set(configuration.targets), saved: Set(configuration.modulesToSave))
    for tensor in decoder.tensors {
      let module = Self.module(tensor.name)
      let isLinear = tensor.name.hasSuffix("_proj.weight")
      let targets = configuration.targets.filter { module == $0 || module.hasSuffix("." + $0) }
      let saved = configuration.modulesToSave.filter { name in
        module.hasSuffix(name)
          || (model.tiedHead && tensor.name == DecoderTensors.embedding
            && Self.module(DecoderTensors.head).hasSuffix(name))
      }
      if isLinear { unused.targets.subtract(targets) }
      unused.saved.subtract(saved)
      guard targets.isEmpty || saved.isEmpty else {
        throw Self.failure("modules_to_save", "\"\(saved[0])\" is \(module), which target_modules name too")
      }
      if isLinear, !targets.isEmpty {
        guard configuration.rank <= min(tensor.shape[0], tensor.shape[1]) else {
          throw Self.failure("r", "rank \(configuration.rank) of \(module), a matrix of \(tensor.shape)")
        }
        shapes.append((Self.prefix + module + ".lora_A.weight", [configuration.rank, tensor.shape[1]]))
        shapes.append((Self.prefix + module + ".lora_B.weight", [tensor.shape[0], configuration.rank]))
        weights.append((tensor, true))
      } else if !saved.isEmpty {
        shapes.append((Self.prefix + tensor.name, tensor.shape))
        weights.append((tensor, false))
      }
    }
    if let name = unused.targets.min() {
      throw Self.failure(
        "target_modules",
        "\"\(name)\" is no linear layer of this model's layers; those are "
          + LowRankConfiguration.linearLayers.joined(separator: ", "))
    }
    if let name = unused.saved.min() {
      throw Self.failure(
        "modules_to_save", "\"\(name)\" is no module of this model with parameters of its own")
    }
    let parameters = ParameterLayout(shapes)
    var (matrices, whole): ([Matrix], [Whole]) = ([], [])
    var next = 0
    for (weight, isMatrix) in weights {
      let first = parameters.tensors[next]
      if isMatrix {
        matrices.append(Matrix(weight: weight, a: first, b: parameters.tensors[next + 1]))
      } else {
        whole.append(Whole(weight: weight, saved: first))
      }
      next += isMatrix ? 2 : 1
    }
    self.matrices = matrices
    self.whole = whole
    self.parameters = parameters
    tiedEmbedding = model.tiedHead ? parameters[Self.prefix + DecoderTensors.embedding] : nil
  }

  private static func check(_ configuration: LowRankConfiguration) throws(ModelError) {
    guard configuration.rank >= 1 else { throw failure("r", "rank \(configuration.rank) is below 1") }
    guard configuration.alpha > 0, configuration.alpha.isFinite else {
      throw failure("lora_alpha", "\(configuration.alpha) is not positive")
    }
    guard !configuration.targets.isEmpty else { throw failure("target_modules", "names no module") }
    // It would be the end of every name.
    guard !configuration.modulesToSave.contains("") else {
      throw failure("modules_to_save", "\"\" is no module's name")
    }
  }

  private static func failure(_ field: String, _ message: String) -> ModelError {
    ModelError(.invalidArgument, message, name: field)
  }

  /// A parameter's name without its last part.
  private static func module(_ name: String) -> Substring {
    name.lastIndex(of: ".").map { name[..<$0] } ?? name[...]
  }
}

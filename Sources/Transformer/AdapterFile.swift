import DurableFiles
import Foundation
import Safetensors
import StrictJSON

/// An adapter's folder in the layout of PEFT, opened for reading.
struct AdapterFile {
  static let configurationName = "adapter_config.json"
  static let weightsName = "adapter_model.safetensors"
  /// Beside PEFT's two files, where the adapter was trained with rotary settings that the model does not have; PEFT does not
  /// read it.
  static let rotaryName = "rotary_override.json"

  let configuration: LowRankConfiguration
  let rope: RotaryOverride?
  private let path: String
  private let weights: SafetensorsFile

  /// Fields that change nothing of what a trained adapter computes, whatever they say.
  private static let ignored: Set = [
    "auto_mapping", "base_model_name_or_path", "revision", "inference_mode", "megatron_core",
    "qalora_group_size", "peft_version", "lora_dropout", "runtime_config", "ensure_weight_tying",
    "eva_config",
  ]
  private static let read: Set = [
    "peft_type", "task_type", "bias", "init_lora_weights", "r", "lora_alpha", "target_modules",
    "modules_to_save", "use_rslora",
  ]

  /// Reads the configuration and opens the weights.
  ///
  /// - Throws: `io`; `malformed` or `unsupported` naming the field of `adapter_config.json`.
  init(folder: String) throws(ModelError) {
    path = folder + "/" + Self.configurationName
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ModelError(.io, "cannot be read", path: path)
    }
    let fields = try ConfigFields(data, path: path)
    configuration = try Self.configuration(fields)
    rope = try Self.rope(folder)
    let file = folder + "/" + Self.weightsName
    weights = try stored { () throws(SafetensorsError) in try SafetensorsFile(path: file) }
  }

  /// What does not fit this file's configuration, with the file's name.
  func located(_ error: ModelError) -> ModelError {
    ModelError(error.code, error.message, path: error.path ?? path, name: error.name)
  }

  private static func configuration(_ fields: ConfigFields) throws(ModelError) -> LowRankConfiguration {
    guard try fields.string("peft_type") == "LORA" else {
      throw fields.failure(.unsupported, "peft_type", "\(fields["peft_type"]) is not supported; only LORA is")
    }
    try fields.refuse("task_type", unless: [.string("CAUSAL_LM")])
    try fields.refuse("bias", unless: [.string("none")])
    // Others change the base weights when they begin.
    try fields.refuse(
      "init_lora_weights",
      unless: [.boolean(true), .boolean(false), .string("gaussian"), .string("eva"), .string("orthogonal")])
    // Whatever else a version of PEFT may write is a feature that is off, or is refused by its name.
    for name in fields.members.keys.sorted() where !ignored.contains(name) && !read.contains(name) {
      try fields.refuse(name, unless: [.boolean(false), .object([:]), .array([])])
    }
    return LowRankConfiguration(
      rank: try fields.integer("r", in: 1...1 << 17), alpha: try fields.number("lora_alpha"),
      targets: try names(fields, "target_modules"),
      modulesToSave: fields.has("modules_to_save") ? try names(fields, "modules_to_save") : [],
      isRankStabilized: try fields.boolean("use_rslora", default: false))
  }

  private static func rope(_ folder: String) throws(ModelError) -> RotaryOverride? {
    let path = folder + "/" + rotaryName
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    do {
      return try JSONDecoder().decode(RotaryOverride.self, from: data)
    } catch {
      throw ModelError(.malformed, "not rotary settings: \(error)", path: path)
    }
  }

  /// - Throws: `mismatch` when the adapter was trained with rotary settings that a model does not have.
  func check(_ model: ModelConfiguration) throws(ModelError) {
    guard let rope, try rope.parameters(for: model) != model.rope else { return }
    throw ModelError(
      .mismatch,
      "the adapter was trained with \(try rope.parameters(for: model).summary), the model has "
        + model.rope.summary, path: (path as NSString).deletingLastPathComponent + "/" + Self.rotaryName)
  }

  private static func names(_ fields: ConfigFields, _ field: String) throws(ModelError) -> [String] {
    guard case .array(let values) = fields[field] else {
      throw fields.failure(.unsupported, field, "\(fields[field]) is not a list of modules' names")
    }
    var result: [String] = []
    for value in values {
      guard case .string(let name) = value, !name.isEmpty else {
        throw fields.failure(.malformed, field, "\(value) is not a module's name")
      }
      result.append(name)
    }
    return result
  }

  /// Copies the adapter's parameters, converted to f32.
  ///
  /// - Throws: `mismatch` or `unsupported` naming the tensor; then nothing was copied.
  func read(_ layout: LowRankLayout, into parameters: ParameterBuffer) throws(ModelError) {
    func failure(_ code: ModelError.Code, _ name: String, _ message: String) -> ModelError {
      ModelError(code, message, path: weights.path, name: name)
    }
    var expected = Set(layout.parameters.tensors.map(\.name))
    var shapes = layout.parameters.tensors.map { ($0.name, $0.shape) }
    if let embedding = layout.tiedEmbedding {
      expected.insert(LowRankLayout.tiedHeadName)
      shapes.append((LowRankLayout.tiedHeadName, embedding.shape))
    }
    if let name = weights.names.first(where: { !expected.contains($0) }) {
      throw failure(.mismatch, name, "not a tensor of this configuration for this model")
    }
    for (name, shape) in shapes {
      let slice = try stored { () throws(SafetensorsError) in try weights.tensor(name) }
      guard slice.shape == shape else {
        throw failure(.mismatch, name, "shape \(slice.shape), and the model and the rank ask for \(shape)")
      }
      guard slice.dtype.isFloat else {
        throw failure(.unsupported, name, "\(slice.dtype.rawValue) instead of F32, BF16 or F16")
      }
    }
    if let embedding = layout.tiedEmbedding {
      let (one, other) = try stored { () throws(SafetensorsError) in
        (try weights.tensor(embedding.name), try weights.tensor(LowRankLayout.tiedHeadName))
      }
      guard one.dtype == other.dtype, one.bytes.elementsEqual(other.bytes) else {
        throw failure(
          .unsupported, LowRankLayout.tiedHeadName,
          "differs from the embedding, and in this model they are one")
      }
    }
    for tensor in layout.parameters.tensors {
      let slice = try stored { () throws(SafetensorsError) in try weights.tensor(tensor.name) }
      slice.copyFloats(into: parameters.writable(tensor.range))
    }
  }
}

extension AdapterFile {
  /// The fields that PEFT reads; what is left out has its default there.
  private struct Fields: Encodable {
    let peftType = "LORA"
    let taskType = "CAUSAL_LM"
    let bias = "none"
    let fanInFanOut = false
    let inferenceMode = true
    let initLoraWeights = true
    let loraDropout = 0
    let useDora = false
    let rankPattern: [String: Int] = [:]
    let alphaPattern: [String: Int] = [:]
    let baseModelNameOrPath: String
    let r: Int
    let loraAlpha: Double
    let targetModules: [String]
    let modulesToSave: [String]?
    let useRslora: Bool
    /// Keeps a tied head tied when PEFT trains on; left out where it says nothing, because older versions do not know it.
    let ensureWeightTying: Bool?
  }

  /// Writes an adapter's folder.
  static func write(
    _ configuration: LowRankConfiguration, _ layout: LowRankLayout, _ parameters: ParameterBuffer,
    _ source: ModelSource, to folder: String
  ) throws(ModelError) {
    let fields = Fields(
      baseModelNameOrPath: source.folder, r: configuration.rank, loraAlpha: configuration.alpha,
      targetModules: configuration.targets,
      modulesToSave: configuration.modulesToSave.isEmpty ? nil : configuration.modulesToSave,
      useRslora: configuration.isRankStabilized,
      ensureWeightTying: layout.tiedEmbedding == nil ? nil : true)
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    var files: [(name: String, data: Data)] = []
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      files.append((configurationName, try encoder.encode(fields)))
      // Its names are not PEFT's to choose.
      encoder.keyEncodingStrategy = .useDefaultKeys
      if let rope = source.rope { files.append((rotaryName, try encoder.encode(rope))) }
    } catch {
      throw ModelError(.io, "cannot be written: \(error)", path: folder)
    }
    var tensors = layout.parameters.tensors.map { TensorDescription($0.name, .float32, shape: $0.shape) }
    if let embedding = layout.tiedEmbedding {
      tensors.append(TensorDescription(LowRankLayout.tiedHeadName, .float32, shape: embedding.shape))
    }
    let weights = try stored { () throws(SafetensorsError) in
      var weights = try SafetensorsStream(
        path: folder + "/" + weightsName, tensors, metadata: ["format": "pt"])
      try weights.append(parameters.readable(0..<layout.parameters.count))
      if let embedding = layout.tiedEmbedding { try weights.append(parameters.readable(embedding.range)) }
      return weights
    }
    // Of an adapter that was here before.
    if source.rope == nil { unlink(folder + "/" + rotaryName) }
    try written { () throws(FileError) in
      for (name, data) in files { try AtomicFile.write(data, to: folder + "/" + name) }
    }
    do throws(SafetensorsError) { try weights.commit() } catch { throw ModelError(error) }
  }
}

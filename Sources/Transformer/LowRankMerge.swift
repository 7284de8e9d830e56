/// A model and an adapter for it, to be written as one model. Nothing is read whole: memory is that of the adapter and of the
/// model's largest tensor.
public struct LowRankMerge {
  public let configuration: LowRankConfiguration
  /// The model's, with the rotary settings that the adapter was trained with.
  public let model: ModelConfiguration
  /// Matrices that get a low-rank update, and parameters that are replaced as a whole.
  public var matrices: Int { layout.matrices.count }
  public var replaced: Int { layout.whole.count }

  private let source: ModelSource
  private let layout: LowRankLayout
  private let parameters: ParameterBuffer
  private let products: LowRankProducts

  /// Reads the adapter and the model's headers.
  ///
  /// - Parameters:
  ///   - model: a Hugging Face folder.
  ///   - adapter: a folder in PEFT's layout.
  /// - Throws: `ModelError` naming the file and the field or tensor.
  public init(model: String, adapter: String) throws(ModelError) {
    let file = try AdapterFile(folder: adapter)
    let source = try ModelSource(folder: model, rope: file.rope)
    let layout = try Self.layout(source.configuration, file)
    let parameters = ParameterBuffer(layout.parameters)
    try file.read(layout, into: parameters)
    self.source = source
    self.layout = layout
    self.parameters = parameters
    self.model = source.configuration
    configuration = file.configuration
    products = try LowRankProducts()
  }

  private static func layout(
    _ model: ModelConfiguration, _ file: AdapterFile
  ) throws(ModelError) -> LowRankLayout {
    do throws(ModelError) {
      return try LowRankLayout(model, file.configuration)
    } catch {
      throw file.located(error)
    }
  }

  /// Writes the model with the adapter in its weights, the bits that ``LowRankAdapter/apply()`` gives, as
  /// ``TrainableDecoder/save(to:as:progress:)`` writes a folder.
  ///
  /// - Parameter progress: is told how many elements of how many have been written.
  /// - Throws: as that one.
  public func write(
    to folder: String, as type: SavedWeights = .float32, progress: (Int) -> Void = { _ in }
  ) throws(ModelError) {
    let decoder = ParameterLayout(model)
    var updated: [String: LowRankLayout.Matrix] = [:]
    for matrix in layout.matrices { updated[matrix.weight.name] = matrix }
    var whole: [String: ParameterLayout.Tensor] = [:]
    for part in layout.whole { whole[part.weight.name] = part.saved }
    let scratch = FloatBuffer(count: decoder.tensors.map(\.range.count).max() ?? 0)
    try source.write(decoder, to: folder, as: type, progress: progress) { (tensor) throws(ModelError) in
      if let saved = whole[tensor.name] { return parameters.readable(saved.range) }
      let weight = scratch.writable(tensor.range.count)
      try source.tensor(tensor.name)?.copyFloats(into: weight)
      if let matrix = updated[tensor.name] {
        try products.update(weight, matrix, parameters, scale: configuration.scale)
      }
      return UnsafeBufferPointer(weight)
    }
  }
}

import Safetensors
import Transformer

/// What an optimiser changes: a decoder's own weights, or an adapter's.
public protocol TrainedParameters: AnyObject {
  /// f32, one row.
  var parameters: ParameterBuffer { get }
  /// Their gradients, after ``collectGradients()``; of the same layout.
  var gradients: ParameterBuffer { get }

  /// Takes the gradients over from the decoder's.
  func collectGradients() throws

  /// Brings the decoder up to date after the parameters have changed.
  func apply() throws

  /// Writes what the run is for: a model folder, or an adapter folder. Each file appears whole or not at all.
  func save(to folder: String) throws

  /// Takes the parameters over, bit for bit, from a folder that ``save(to:)`` wrote, and applies them.
  func restore(from folder: String) throws

  /// Whether decay pulls a parameter towards zero.
  func decays(_ tensor: ParameterLayout.Tensor) -> Bool
}

/// All weights of a decoder.
public final class FullParameters: TrainedParameters {
  private let decoder: TrainableDecoder
  public var parameters: ParameterBuffer { decoder.weights }
  public var gradients: ParameterBuffer { decoder.gradients }

  public init(_ decoder: TrainableDecoder) { self.decoder = decoder }

  public func collectGradients() {}

  public func apply() throws { try decoder.weightsChanged() }

  public func save(to folder: String) throws { try decoder.save(to: folder) }

  public func restore(from folder: String) throws {
    try parameters.fill(from: SafetensorsFile(path: folder + "/" + SafetensorsCheckpoint.singleName))
    try apply()
  }

  /// Matrices decay; norms and biases do not.
  public func decays(_ tensor: ParameterLayout.Tensor) -> Bool { tensor.shape.count > 1 }
}

extension ParameterBuffer {
  /// Takes every parameter over from a file of f32 tensors.
  ///
  /// - Parameter prefix: of the names in the file.
  /// - Throws: `SafetensorsError` for a missing name or another shape.
  func fill(from file: SafetensorsFile, prefix: String = "") throws {
    for tensor in layout.tensors {
      let slice = try file.tensor(prefix + tensor.name)
      guard slice.shape == tensor.shape, slice.dtype == .float32 else {
        throw SafetensorsError(
          .mismatch, "\(slice.dtype.rawValue) \(slice.shape) instead of F32 \(tensor.shape)",
          path: file.path, tensor: prefix + tensor.name)
      }
      withElements { slice.copyFloats(into: UnsafeMutableBufferPointer(rebasing: $0[tensor.range])) }
    }
  }

  /// Adds every parameter to a file.
  func add(to writer: inout SafetensorsWriter, prefix: String) throws {
    for tensor in layout.tensors {
      try writer.add(prefix + tensor.name, shape: tensor.shape, self[tensor.name] ?? [])
    }
  }
}

extension ParameterBuffer {
  func copy() -> ParameterBuffer {
    let copy = ParameterBuffer(layout)
    copy.take(self)
    return copy
  }

  /// Takes every element over.
  func take(_ other: ParameterBuffer) {
    precondition(layout == other.layout)
    withElements { mine in other.withElements { theirs in _ = mine.update(fromContentsOf: theirs) } }
  }
}

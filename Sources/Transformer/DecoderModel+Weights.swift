import Safetensors

/// A checkpoint's weights on disk and in memory.
public struct WeightSummary: Sendable {
  /// Number of safetensors files.
  public let files: Int
  /// Bytes of all tensors, which are mapped.
  public let mappedBytes: Int
  /// Bytes of the tensors of each element type, by its safetensors name.
  public let bytesOfType: [String: Int]
  /// Bytes that are copied out of the map by the time every matrix has been used: those of another type than the matmuls
  /// take, or all if their kernel wants a layout of its own.
  public let copiedBytes: Int
}

extension DecoderModel {
  /// What the weights take, for the arithmetic that the model was opened with.
  public func weightSummary() throws(ModelError) -> WeightSummary {
    var bytesOfType: [String: Int] = [:]
    for name in checkpoint.files.names {
      let slice = try checkpoint.tensor(name)
      bytesOfType[slice.dtype.rawValue, default: 0] += slice.bytes.count
    }
    var copied = 0
    for linear in linears { copied += try linear.copiedBytes() }
    return WeightSummary(
      files: checkpoint.files.files.count, mappedBytes: checkpoint.files.byteCount, bytesOfType: bytesOfType,
      copiedBytes: copied)
  }

  private var linears: [Linear] {
    layers.flatMap { [$0.queries, $0.keys, $0.values, $0.output, $0.gate, $0.up, $0.down] } + [head]
  }
}

import DurableFiles
import Safetensors

/// The weights of a model folder by their Hugging Face names, checked against the configuration before any is used.
struct Checkpoint {
  let files: SafetensorsCheckpoint
  private let configuration: ModelConfiguration

  /// Maps the folder's files and checks that they have every tensor in its shape, and none besides. No weight is read.
  ///
  /// - Throws: `io`, `malformed`; `mismatch` or `unsupported` naming file and tensor.
  init(folder: String, _ configuration: ModelConfiguration) throws(ModelError) {
    do throws(SafetensorsError) {
      files = try SafetensorsCheckpoint(folder: folder)
    } catch {
      throw ModelError(error)
    }
    self.configuration = configuration
    var expected = Set<String>()
    for (name, shape) in DecoderTensors(configuration).shapes {
      expected.insert(name)
      try check(name, shape)
    }
    for name in files.names where !expected.contains(name) && !Self.isIgnored(name, configuration) {
      throw ModelError(
        .mismatch, "not a tensor of this configuration", path: files.path(of: name), name: name)
    }
  }

  private func check(_ name: String, _ shape: [Int]) throws(ModelError) {
    let slice = try tensor(name)
    guard slice.shape == shape else {
      throw ModelError(
        .mismatch, "shape \(slice.shape), and the configuration asks for \(shape)",
        path: files.path(of: name), name: name)
    }
    guard slice.dtype == .float32 || slice.dtype == .bfloat16 || slice.dtype == .float16 else {
      throw ModelError(
        .unsupported, "weights of \(slice.dtype.rawValue) are not supported, only F32, BF16 and F16",
        path: files.path(of: name), name: name)
    }
  }

  /// Tensors that exporters add and that say nothing new: a tied head's second copy, and RoPE frequencies.
  private static func isIgnored(_ name: String, _ configuration: ModelConfiguration) -> Bool {
    name.hasSuffix(".rotary_emb.inv_freq") || (configuration.tiedHead && name == DecoderTensors.head)
  }

  func tensor(_ name: String) throws(ModelError) -> TensorSlice {
    do throws(SafetensorsError) { return try files.tensor(name) } catch { throw ModelError(error) }
  }

  func norm(_ name: String) throws(ModelError) -> RMSNorm {
    RMSNorm(weight: try tensor(name).floats(), epsilon: Float(configuration.normEpsilon))
  }

  /// The linear layer of a `[outputs, inputs]` tensor, not yet read.
  ///
  /// - Parameters:
  ///   - name: without `.weight`.
  ///   - bias: whether there is a `.bias` of `[outputs]`.
  func linear(_ name: String, bias: Bool, _ backend: MatmulBackend) throws(ModelError) -> Linear {
    let weights = LinearWeights(try tensor(name + ".weight"))
    return Linear(backend, weights, bias: bias ? try tensor(name + ".bias").floats() : nil)
  }
}

extension ModelError {
  init(_ error: SafetensorsError) {
    let code: Code =
      switch error.code {
      case .io: .io
      case .notFound, .mismatch: .mismatch
      case .unsupported: .unsupported
      default: .malformed
      }
    self.init(code, error.message, path: error.path, name: error.tensor)
  }

  init(_ error: FileError) { self.init(.io, error.message, path: error.path) }
}

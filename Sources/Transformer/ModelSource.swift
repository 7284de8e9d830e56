import DurableFiles
import Foundation
import Safetensors
import StrictJSON

/// The element type of saved weights.
public enum SavedWeights: String, Sendable, CaseIterable {
  /// F32: nothing is lost.
  case float32 = "f32"
  /// Each tensor rounded, to nearest and ties to even, to the type that it was read in.
  case original
}

/// What a saved folder takes over from the one that was read; it may be gone by then.
struct ModelSource {
  /// As it was given.
  let folder: String
  let configuration: ModelConfiguration
  /// What was laid over the folder's own rotary settings.
  let rope: RotaryOverride?
  /// Where the weights are; nil when they are drawn.
  private let checkpoint: Checkpoint?
  /// The bytes of `config.json`, with the rotary settings that were asked for.
  private let config: Data
  /// Names and bytes of the files beside it.
  private let files: [(name: String, data: Data)]

  /// What loaders of the format want of a model besides its configuration and its weights.
  private static let companions = [
    "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja",
  ]

  /// Reads a folder's configuration and checks its weights' headers, if weights are wanted of it.
  ///
  /// - Throws: as ``ModelConfiguration``, ``RotaryOverride`` and ``Checkpoint``; `io` for a file that cannot be read.
  init(
    folder: String, weights: InitialWeights = .saved, rope: RotaryOverride? = nil
  ) throws(ModelError) {
    let path = folder + "/config.json"
    guard var config = FileManager.default.contents(atPath: path) else {
      throw ModelError(.io, "cannot be read", path: path)
    }
    if let rope { config = try rope.applied(to: config, path: path) }
    configuration = try ModelConfiguration(folder: folder, config: config)
    checkpoint = weights == .saved ? try Checkpoint(folder: folder, configuration) : nil
    files = try Self.files(folder)
    self.config = config
    self.rope = rope
    self.folder = folder
  }

  /// A parameter as the folder has it; nil where weights are drawn.
  ///
  /// - Throws: as ``Checkpoint``.
  func tensor(_ name: String) throws(ModelError) -> TensorSlice? { try checkpoint?.tensor(name) }

  private static func files(_ folder: String) throws(ModelError) -> [(name: String, data: Data)] {
    var result: [(name: String, data: Data)] = []
    for name in companions {
      let url = URL(fileURLWithPath: folder).appendingPathComponent(name)
      guard FileManager.default.fileExists(atPath: url.path) else { continue }
      do {
        // Mapped: a large vocabulary takes no memory, and stays readable when the file is replaced or removed.
        result.append((name, try Data(contentsOf: url, options: .alwaysMapped)))
      } catch {
        throw ModelError(.io, "cannot be read: \(error)", path: url.path)
      }
    }
    return result
  }

  /// Writes a Hugging Face folder with this source's files: `config.json`, where `torch_dtype` or `dtype` follow the weights and
  /// all else stays byte for byte, and `model.safetensors`. The folder is made if it is not there. Each file appears whole or
  /// not at all, synced, the weights last.
  ///
  /// - Parameters:
  ///   - progress: is told how many elements have been written.
  ///   - elements: gives a tensor's elements, row-major, which stay valid until its next call.
  /// - Throws: `io`; `unsupported` naming a tensor with a finite weight beyond its original type's range; what `elements` throws.
  ///   Then no file has changed.
  func write(
    _ layout: ParameterLayout, to folder: String, as type: SavedWeights, progress: (Int) -> Void,
    elements: (ParameterLayout.Tensor) throws(ModelError) -> UnsafeBufferPointer<Float>
  ) throws(ModelError) {
    let isNew = try makeFolder(folder)
    do throws(ModelError) {
      let config = try config(as: type)
      var tensors: [TensorDescription] = []
      for tensor in layout.tensors {
        let original = type == .float32 ? nil : try self.tensor(tensor.name)?.dtype
        let dtype = original ?? .float32
        tensors.append(TensorDescription(tensor.name, dtype, shape: tensor.shape))
      }
      // What loaders of the format ask for before they accept a file.
      var weights = try stored { () throws(SafetensorsError) in
        try SafetensorsStream(
          path: folder + "/" + SafetensorsCheckpoint.singleName, tensors, metadata: ["format": "pt"])
      }
      for (tensor, description) in zip(layout.tensors, tensors) {
        let values = try elements(tensor)
        try append(values, description, to: &weights, folder)
        progress(tensor.range.upperBound)
      }
      try written { () throws(FileError) in
        for (name, data) in [("config.json", config)] + files {
          try AtomicFile.write(data, to: folder + "/" + name)
        }
      }
      do throws(SafetensorsError) { try weights.commit() } catch { throw ModelError(error) }
      if isNew { try written { () throws(FileError) in try AtomicFile.syncFolder(of: folder) } }
    } catch {
      // Goes only when it is empty.
      if isNew { rmdir(folder) }
      throw error
    }
  }

  /// - Returns: whether it was not there.
  private func makeFolder(_ folder: String) throws(ModelError) -> Bool {
    if FileManager.default.fileExists(atPath: folder) { return false }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      return true
    } catch {
      throw ModelError(.io, "cannot be made: \(error)", path: folder)
    }
  }

  private func config(as type: SavedWeights) throws(ModelError) -> Data {
    guard type == .float32 else { return config }
    do throws(JSONError) {
      var text = try JSONObjectText([UInt8](config))
      for field in ["torch_dtype", "dtype"] where try text.has(field) {
        try text.set(field, to: "\"float32\"")
      }
      return Data(text.bytes)
    } catch {
      throw ModelError(.malformed, "not a JSON object: \(error)", path: folder + "/config.json")
    }
  }

  private func append(
    _ elements: UnsafeBufferPointer<Float>, _ tensor: TensorDescription,
    to weights: inout SafetensorsStream, _ folder: String
  ) throws(ModelError) {
    let narrowest = tensor.dtype == .float16 ? Float(Float16.greatestFiniteMagnitude) : 0x1.FEp127
    if tensor.dtype != .float32, let weight = elements.first(where: { abs($0) > narrowest && $0.isFinite }) {
      throw ModelError(
        .unsupported, "\(weight) cannot be saved as \(tensor.dtype.rawValue)", path: folder, name: tensor.name
      )
    }
    do throws(SafetensorsError) {
      if tensor.dtype == .float32 { return try weights.append(elements) }
      for start in stride(from: 0, to: elements.count, by: 1 << 16) {
        let block = elements[start..<min(start + 1 << 16, elements.count)]
        try weights.append(halves(UnsafeBufferPointer(rebasing: block), tensor.dtype))
      }
    } catch {
      throw ModelError(error)
    }
  }
}

/// Elements rounded to bf16 or f16, little-endian.
private func halves(_ elements: UnsafeBufferPointer<Float>, _ dtype: TensorDtype) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: 2 * elements.count) { buffer, count in
    for (index, element) in elements.enumerated() {
      let bits = dtype == .bfloat16 ? BFloat16.bits(element) : Float16(element).bitPattern
      UnsafeMutableRawBufferPointer(buffer).storeBytes(
        of: bits.littleEndian, toByteOffset: 2 * index, as: UInt16.self)
    }
    count = 2 * elements.count
  }
}

/// Runs `body`; its error becomes one of the model's.
func stored<Result: ~Copyable>(
  _ body: () throws(SafetensorsError) -> Result
) throws(ModelError) -> Result {
  do throws(SafetensorsError) { return try body() } catch { throw ModelError(error) }
}

/// Runs `body`; its error becomes one of the model's.
func written(_ body: () throws(FileError) -> Void) throws(ModelError) {
  do throws(FileError) { try body() } catch { throw ModelError(error) }
}

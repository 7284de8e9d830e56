import Foundation
import Safetensors

/// The element type of saved weights.
public enum SavedWeights: Sendable, CaseIterable {
  /// F32: nothing is lost.
  case float32
  /// Each tensor rounded, to nearest and ties to even, to the type that it was read in.
  case original
}

extension TrainableDecoder {
  /// Writes the decoder as a Hugging Face folder: `model.safetensors` with every tensor under its name and shape, and
  /// `config.json` (with `generation_config.json` where there was one) as they were read. A tied head is not written.
  ///
  /// The folder is made if it is not there. Each file appears whole or not at all, the weights last.
  ///
  /// - Throws: `io`; `unsupported` naming a tensor with a finite weight beyond its original type's range.
  public func save(to folder: String, as type: SavedWeights = .float32) throws(ModelError) {
    var writer = SafetensorsWriter()
    // What loaders of the format ask for before they accept a file.
    writer.metadata["format"] = "pt"
    for tensor in weights.layout.tensors {
      let dtype = type == .float32 ? .float32 : source.dtypes[tensor.name] ?? .float32
      let elements = weights.readable(tensor.range)
      do throws(SafetensorsError) {
        if dtype == .float32 {
          try writer.add(tensor.name, shape: tensor.shape, Array(elements))
        } else {
          try writer.add(tensor.name, dtype: dtype, shape: tensor.shape, bytes: halves(elements, dtype))
        }
      } catch {
        throw ModelError(error)
      }
      let limit = dtype == .float16 ? Float(Float16.greatestFiniteMagnitude) : 0x1.FEp127
      if dtype != .float32, let weight = elements.first(where: { abs($0) > limit && $0.isFinite }) {
        throw ModelError(
          .unsupported, "\(weight) cannot be saved as \(dtype.rawValue)", path: folder, name: tensor.name)
      }
    }
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      for (name, data) in source.files {
        try data.write(to: URL(fileURLWithPath: folder).appendingPathComponent(name), options: .atomic)
      }
    } catch {
      throw ModelError(.io, "cannot be written: \(error)", path: folder)
    }
    do throws(SafetensorsError) {
      try writer.write(to: folder + "/" + SafetensorsCheckpoint.singleName)
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

/// What a saved folder takes over from the one that was read; in memory, because that one may be gone by then.
struct ModelSource {
  /// Element type of each tensor.
  let dtypes: [String: TensorDtype]
  /// Names and bytes of the configuration's files.
  let files: [(name: String, data: Data)]

  /// Reads every weight of a folder as f32, exactly, or draws them.
  ///
  /// - Throws: as ``Checkpoint``; `io` for a configuration that went away meanwhile.
  init(
    folder: String, _ configuration: ModelConfiguration, _ initial: InitialWeights,
    into weights: ParameterBuffer
  ) throws(ModelError) {
    var dtypes: [String: TensorDtype] = [:]
    switch initial {
    case .random(let seed): weights.draw(configuration, seed: seed)
    case .saved:
      let checkpoint = try Checkpoint(folder: folder, configuration)
      for tensor in weights.layout.tensors {
        let slice = try checkpoint.tensor(tensor.name)
        slice.copyFloats(into: weights.writable(tensor.range))
        dtypes[tensor.name] = slice.dtype
      }
    }
    self.dtypes = dtypes
    let path = folder + "/config.json"
    guard let config = FileManager.default.contents(atPath: path) else {
      throw ModelError(.io, "cannot be read", path: path)
    }
    let generation = FileManager.default.contents(atPath: folder + "/generation_config.json")
    files = [("config.json", config)] + (generation.map { [("generation_config.json", $0)] } ?? [])
  }
}

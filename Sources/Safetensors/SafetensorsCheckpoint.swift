import Foundation

/// The tensors of a model folder: of `model.safetensors`, or of the shards that `model.safetensors.index.json` names.
///
/// Opening maps the files and checks their headers; no tensor is read.
public final class SafetensorsCheckpoint: Sendable {
  public static let singleName = "model.safetensors"
  public static let indexName = "model.safetensors.index.json"

  /// One file, or the shards in the order of their names.
  public let files: [SafetensorsFile]
  /// Tensor names, sorted.
  public let names: [String]
  private let owners: [String: SafetensorsFile]

  /// A single file goes before an index, as in the reference implementation.
  ///
  /// - Throws: `io` when the folder has neither or a file cannot be opened; `malformed` or `notFound` when the index and its
  ///   shards do not agree, naming the tensor; what ``SafetensorsFile`` throws.
  public init(folder: String) throws(SafetensorsError) {
    let single = folder + "/" + Self.singleName
    let index = folder + "/" + Self.indexName
    var owners: [String: SafetensorsFile] = [:]
    if FileManager.default.fileExists(atPath: single) {
      let file = try SafetensorsFile(path: single)
      files = [file]
      for name in file.names { owners[name] = file }
    } else if FileManager.default.fileExists(atPath: index) {
      let map = try ShardIndex(path: index)
      var shards: [SafetensorsFile] = []
      for shard in map.shards {
        let file = try SafetensorsFile(path: folder + "/" + shard)
        try map.check(file, shard)
        for name in file.names { owners[name] = file }
        shards.append(file)
      }
      files = shards
    } else {
      throw SafetensorsError(
        .io, "no \(Self.singleName) and no \(Self.indexName); other formats must be converted first",
        path: folder)
    }
    self.owners = owners
    names = owners.keys.sorted()
  }

  /// The tensor of this name.
  ///
  /// - Throws: `notFound`.
  public func tensor(_ name: String) throws(SafetensorsError) -> TensorSlice {
    guard let file = owners[name] else {
      throw SafetensorsError(.notFound, "not in the checkpoint", path: path(of: name), tensor: name)
    }
    return try file.tensor(name)
  }

  /// The file that has this tensor, or should have it.
  public func path(of name: String) -> String {
    if let file = owners[name] ?? (files.count == 1 ? files[0] : nil) { return file.path }
    return files.first.map { ($0.path as NSString).deletingLastPathComponent + "/" + Self.indexName } ?? ""
  }

  /// Bytes of all tensors.
  public var byteCount: Int { files.reduce(0) { $0 + $1.dataBytes } }
}

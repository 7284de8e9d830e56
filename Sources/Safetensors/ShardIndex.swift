import Foundation
import StrictJSON

/// The `weight_map` of a `model.safetensors.index.json`: which shard has which tensor. Its other fields say nothing that the
/// shards do not say themselves.
struct ShardIndex {
  /// Longest index that is read. A tensor takes about 90 bytes.
  static let maximumBytes = 64 << 20
  static let maximumShards = 4096

  /// File names without folder, sorted.
  let shards: [String]
  private let shardOfTensor: [String: String]
  private let tensorsOfShard: [String: [String]]

  init(path: String) throws(SafetensorsError) {
    let mapping = try FileMapping(path: path)
    guard mapping.bytes.count <= Self.maximumBytes else {
      throw SafetensorsError(
        .malformed, "\(mapping.bytes.count) bytes; at most \(Self.maximumBytes) are read", path: path)
    }
    var map: [String: String] = [:]
    do throws(JSONError) {
      map = try Self.weightMap(Array(mapping.bytes))
    } catch {
      throw SafetensorsError(.malformed, error.description, path: path)
    }
    for (tensor, shard) in map where !Self.isPlainName(shard) {
      throw SafetensorsError(
        .malformed, "\"\(shard.prefix(100))\" is not the name of a .safetensors file of this folder",
        path: path, tensor: tensor)
    }
    shardOfTensor = map
    tensorsOfShard = Dictionary(grouping: map.keys.sorted()) { map[$0] ?? "" }
    shards = tensorsOfShard.keys.sorted()
    guard !shards.isEmpty, shards.count <= Self.maximumShards else {
      throw SafetensorsError(
        .malformed, "weight_map names \(shards.count) files; 1...\(Self.maximumShards) are read", path: path)
    }
  }

  private static func weightMap(_ bytes: [UInt8]) throws(JSONError) -> [String: String] {
    var scanner = JSONScanner(bytes.span)
    var map: [String: String]?
    try scanner.beginObject()
    while let name = try scanner.nextName() {
      guard name == "weight_map" else {
        try scanner.skipValue()
        continue
      }
      var entries: [String: String] = [:]
      try scanner.beginObject()
      while let tensor = try scanner.nextName() {
        entries[tensor] = try scanner.string()
      }
      map = entries
    }
    try scanner.finish()
    guard let map else { throw scanner.failure("no \"weight_map\"") }
    return map
  }

  /// Whether a name stays in the folder and is of the only format that is read.
  private static func isPlainName(_ name: String) -> Bool {
    name.hasSuffix(".safetensors") && !name.utf8.contains(UInt8(ascii: "/")) && !name.utf8.contains(0)
  }

  /// Checks that a shard has the tensors that the index puts there, and no others.
  func check(_ file: SafetensorsFile, _ shard: String) throws(SafetensorsError) {
    for name in file.names where shardOfTensor[name] != shard {
      let place = shardOfTensor[name].map { "puts it into \($0)" } ?? "does not name it"
      throw SafetensorsError(
        .malformed, "in the shard, but \(SafetensorsCheckpoint.indexName) \(place)", path: file.path,
        tensor: name)
    }
    for name in tensorsOfShard[shard] ?? [] where !file.contains(name) {
      throw SafetensorsError(
        .notFound, "not in the shard, where \(SafetensorsCheckpoint.indexName) puts it", path: file.path,
        tensor: name)
    }
  }
}

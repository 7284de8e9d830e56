import Foundation
import LagoonClient
import ToolSupport

/// A daemon on a store of its own with three small sessions of seeded rows: `kept` (lagkv), `whole` (full, f32) and `new`,
/// which has no tokens.
final class SampleStore {
  static let tokens = 300
  static let layers = 3
  static let kvHeads = 2
  static let headDim = 32

  let daemon: PrivateDaemon
  let folder: String
  var storePath: String { folder + "/store" }
  /// Keys of layer 1 of `whole`: `[tokens, kvHeads, headDim]`, f32.
  private(set) var wholeKeys: [Float] = []

  init() throws {
    folder = FileManager.default.temporaryDirectory.path + "/lagoon-tools-\(UUID().uuidString)"
    var options = PrivateDaemon.Options()
    options.store = folder + "/store"
    options.quota = "64MiB"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    daemon = try PrivateDaemon(options)
    let connection = try LagoonConnection(socketPath: daemon.socketPath, clientName: "tests")
    try fill(connection, "kept", .lagkv, .bfloat16)
    try fill(connection, "whole", .full, .float32)
    _ = try connection.createSession(Self.parameters("new", .lagkv, .float16))
  }

  deinit {
    daemon.stop()
    try? FileManager.default.removeItem(atPath: folder)
  }

  static func parameters(_ name: String, _ policy: PolicyKind, _ type: ElementType) -> SessionParameters {
    SessionParameters(
      name: name, layers: layers, kvHeads: kvHeads, headDim: headDim, elementType: type, policy: policy,
      sinks: 4, lag: 16, ratio: 0.25, exemptLayers: policy == .lagkv ? [2] : [],
      fingerprint: [UInt8](repeating: 0xab, count: 32))
  }

  private func fill(
    _ connection: LagoonConnection, _ name: String, _ policy: PolicyKind, _ type: ElementType
  ) throws {
    let session = try connection.createSession(Self.parameters(name, policy, type))
    var state: UInt64 = 7
    func rows() -> [Float] {
      (0..<Self.tokens * Self.kvHeads * Self.headDim).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Float(Int64(bitPattern: state) >> 40) / 8_388_608
      }
    }
    try session.begin(capacity: Self.tokens)
    for layer in 0..<Self.layers {
      let (keys, values) = (rows(), rows())
      if policy == .full, layer == 1 { wholeKeys = keys }
      try session.append(layer: layer, keys: Self.tensor(keys), values: Self.tensor(values))
    }
    try session.commit(tokenIDs: (0..<UInt32(Self.tokens)).map { $0 })
  }

  private static func tensor(_ floats: [Float]) -> HostTensor {
    HostTensor(floats: floats, tokens: tokens, heads: kvHeads, headDim: headDim)
  }

  /// Runs `lagoon` through the daemon.
  func lagoon(_ arguments: String...) throws -> Program {
    try Program.run("lagoon", arguments + ["--socket", daemon.socketPath])
  }

  /// Runs `lagoon` on the store; the daemon must have stopped.
  func lagoonStopped(_ arguments: String...) throws -> Program {
    try Program.run("lagoon", arguments + ["--store", storePath])
  }
}

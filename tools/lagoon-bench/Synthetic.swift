import Kernels
import LagKV
import LagoonClient

/// Seeded rows for benchmarks: values between -1 and 1, the same on every machine.
struct SyntheticRows {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
  }

  /// A token-major tensor `[tokens, heads, headDim]`.
  mutating func tensor(_ type: ElementType, tokens: Int, heads: Int, headDim: Int) -> HostTensor {
    let floats = (0..<tokens * heads * headDim).map { _ in next() }
    let bytes = [UInt8](unsafeUninitializedCapacity: floats.count * type.byteCount) { bytes, count in
      count = floats.count * type.byteCount
      guard let base = bytes.baseAddress else { return }
      lagoon_convert(floats, ElementType.float32.rawValue, base, type.rawValue, floats.count)
    }
    return HostTensor(bytes: bytes, elementType: type, tokens: tokens, heads: heads, headDim: headDim)
  }
}

/// The attention that the benchmarks use unless told otherwise: a model of the 8-billion-parameter class.
struct BenchShape {
  var queryHeads = 32
  var kvHeads = 8
  var headDim = 128
  var layers = 1

  func session(_ name: String, _ type: ElementType) -> SessionParameters {
    SessionParameters(name: name, layers: layers, kvHeads: kvHeads, headDim: headDim, elementType: type)
  }

  /// Bytes of K and V of `tokens` tokens in one layer.
  func bytes(tokens: Int, _ type: ElementType) -> Int { 2 * tokens * kvHeads * headDim * type.byteCount }

  /// A session of `keys` tokens; it keeps them whole unless told otherwise, else with 16 sinks, lag 128 and ratio 1/4.
  func filled(
    _ connection: LagoonConnection, keys: Int, _ type: ElementType, codec: Codec = .raw,
    policy: PolicyKind = .full, name: String? = nil
  ) throws -> RemoteSession {
    var parameters = session(name ?? "bench-\(keys)", type)
    parameters.policy = policy
    parameters.codec = codec
    let session = try connection.createSession(parameters)
    let chunk = min(keys, 256)
    var rows = SyntheticRows(seed: UInt64(keys))
    let k = rows.tensor(type, tokens: chunk, heads: kvHeads, headDim: headDim)
    let v = rows.tensor(type, tokens: chunk, heads: kvHeads, headDim: headDim)
    try session.begin(capacity: chunk)
    for start in stride(from: 0, to: keys, by: chunk) {
      for layer in 0..<layers { try session.append(layer: layer, keys: k, values: v) }
      let ids = (start..<start + chunk).map(UInt32.init)
      try session.commit(tokenIDs: ids, keepWriting: start + chunk < keys)
    }
    return session
  }
}

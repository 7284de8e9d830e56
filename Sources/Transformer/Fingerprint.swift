import CXXHash
import Safetensors

/// Identifies a model: its configuration's canonical fields and every byte of its weights.
///
/// Two XXH3-128 digests with different seeds over the same input, 32 bytes in all. It tells models apart that people would
/// otherwise mix up; it is no defence against someone who crafts a collision.
enum Fingerprint {
  private static let seeds: [UInt64] = [0, 0x4C61_676F_6F6E_4C4D]
  /// Bytes that go through both digests while they are in the processor's cache, so that the checkpoint is read once.
  private static let blockBytes = 1 << 18

  /// The cut into files is not part of it: a checkpoint and its shards are the same model.
  ///
  /// - Complexity: reads the whole checkpoint once.
  static func digest(
    _ configuration: ModelConfiguration, _ frequencies: FrequencyRounding, _ files: SafetensorsCheckpoint
  ) throws(ModelError) -> [UInt8] {
    var state: [UInt8] = Array(canonicalText(configuration, frequencies).utf8)
    for name in files.names {
      let slice: TensorSlice
      do throws(SafetensorsError) { slice = try files.tensor(name) } catch { throw ModelError(error) }
      // Name, dtype and shape separated by bytes that none of them holds, then the digest of the elements.
      state += Array("\n\(name)\0\(slice.dtype.rawValue)\0\(slice.shape)\0".utf8)
      state += hash(slice.bytes)
    }
    return state.withUnsafeBytes { hash($0) }
  }

  /// 32 bytes.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    let states = seeds.map { seed in
      // Fails only without memory.
      guard let state = XXH3_createState() else { fatalError("no memory for a hash") }
      XXH3_128bits_reset_withSeed(state, seed)
      return state
    }
    defer { for state in states { XXH3_freeState(state) } }
    for start in stride(from: 0, to: bytes.count, by: blockBytes) {
      let block = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + blockBytes, bytes.count)])
      for state in states { XXH3_128bits_update(state, block.baseAddress, block.count) }
    }
    return states.flatMap { state in
      let digest = XXH3_128bits_digest(state)
      return [digest.low64, digest.high64].flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) }
    }
  }

  /// What changes the arithmetic, in a fixed order and spelling. Sessions on disk carry the digest: a field that came later
  /// is appended only where it differs from what every model had before, so that their fingerprints stay.
  private static func canonicalText(_ c: ModelConfiguration, _ frequencies: FrequencyRounding) -> String {
    var text = """
      lagoon-model-1 family=\(c.family) hidden=\(c.hiddenSize) intermediate=\(c.intermediateSize) layers=\(c.layers) \
      queryHeads=\(c.queryHeads) kvHeads=\(c.kvHeads) headDim=\(c.headDim) vocabulary=\(c.vocabularySize) \
      epsilon=\(c.normEpsilon.bitPattern) theta=\(c.rope.theta.bitPattern) tied=\(c.tiedHead)
      """
    switch c.rope.scaling {
    case .none: break
    case .linear(let factor): text += " rope=linear,\(factor.bitPattern)"
    case .llama3(let factor, let low, let high, let positions):
      text += " rope=llama3,\(factor.bitPattern),\(low.bitPattern),\(high.bitPattern),\(positions)"
    case .yarn(let yarn):
      text += " rope=yarn,\(yarn.factor.bitPattern),\(yarn.originalPositions),\(yarn.betaFast.bitPattern)"
      text += ",\(yarn.betaSlow.bitPattern),\(yarn.truncate),\(yarn.attentionFactor.bitPattern)"
    }
    if frequencies != .exact { text += " frequencies=\(frequencies.rawValue)" }
    return text
  }
}

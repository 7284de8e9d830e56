import CXXHash
import Safetensors

/// Identifies a model: its configuration's canonical fields and every byte of its weights.
///
/// Two XXH3-128 digests with different seeds over the same input, 32 bytes in all. It tells models apart that people would
/// otherwise mix up; it is no defence against someone who crafts a collision.
enum Fingerprint {
  private static let seeds: (UInt64, UInt64) = (0, 0x4C61_676F_6F6E_4C4D)

  /// - Complexity: reads the whole checkpoint twice, at memory speed once it is in the page cache.
  static func digest(_ configuration: ModelConfiguration, _ file: SafetensorsFile) throws(ModelError)
    -> [UInt8]
  {
    var state: [UInt8] = Array(canonicalText(configuration).utf8)
    for name in file.names.sorted() {
      let slice: TensorSlice
      do throws(SafetensorsError) { slice = try file.tensor(name) } catch { throw ModelError(error) }
      // Name, dtype and shape separated by bytes that none of them holds, then the digest of the elements.
      state += Array("\n\(name)\0\(slice.dtype.rawValue)\0\(slice.shape)\0".utf8)
      state += hash(slice.bytes)
    }
    return state.withUnsafeBytes { hash($0) }
  }

  /// 32 bytes.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    let first = XXH3_128bits_withSeed(bytes.baseAddress, bytes.count, seeds.0)
    let second = XXH3_128bits_withSeed(bytes.baseAddress, bytes.count, seeds.1)
    return [first.low64, first.high64, second.low64, second.high64].flatMap { word in
      withUnsafeBytes(of: word.littleEndian, Array.init)
    }
  }

  /// What changes the arithmetic, in a fixed order and spelling. Sessions on disk carry the digest: a field that comes later
  /// is appended only where it differs from what every model had before, so that their fingerprints stay.
  private static func canonicalText(_ c: ModelConfiguration) -> String {
    """
    lagoon-model-1 family=\(c.family) hidden=\(c.hiddenSize) intermediate=\(c.intermediateSize) layers=\(c.layers) \
    queryHeads=\(c.queryHeads) kvHeads=\(c.kvHeads) headDim=\(c.headDim) vocabulary=\(c.vocabularySize) \
    epsilon=\(c.normEpsilon.bitPattern) theta=\(c.rope.theta.bitPattern) tied=\(c.tiedHead)
    """
  }
}

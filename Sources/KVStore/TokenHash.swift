import CXXHash

/// The rolling hash of a session's token ids. It depends on the ids alone, not on how they were cut into commits.
public struct TokenHash {
  /// The hash of the empty text.
  public static let empty: UInt64 = 0

  /// `h' = XXH3_64bits_withSeed(id as four little-endian bytes, seed: h)`, id by id.
  public static func extend(_ hash: UInt64, with ids: some Collection<UInt32>) -> UInt64 {
    if let result = ids.withContiguousStorageIfAvailable({
      lagoon_token_hash(hash, $0.baseAddress, $0.count)
    }) {
      return result
    }
    return Array(ids).withUnsafeBufferPointer { lagoon_token_hash(hash, $0.baseAddress, $0.count) }
  }
}

import CXXHash

/// The rolling hash of a text's token ids, by which a session knows its text: id by id,
/// `h' = XXH3_64bits_withSeed(id as four little-endian bytes, seed: h)`, starting from 0. So it depends on the ids and
/// their order alone, not on how they were cut into commits.
public enum TokenHash {
  /// The hash of no tokens.
  public static let empty: UInt64 = 0

  /// The hash of a text with hash `hash` followed by `ids`.
  public static func extend(_ hash: UInt64, with ids: some Collection<UInt32>) -> UInt64 {
    if let extended = ids.withContiguousStorageIfAvailable({
      lagoon_token_hash(hash, $0.baseAddress, $0.count)
    }) {
      return extended
    }
    let copy = Array(ids)
    return lagoon_token_hash(hash, copy, copy.count)
  }
}

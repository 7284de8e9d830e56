import LagKV
import Testing

@Suite struct TokenHashTests {
  /// Stores and clients have hashes of earlier versions: the formula must stay. The expected one is from Python's xxhash, by
  /// docs/protocol.md.
  @Test func theFormulaStays() {
    #expect(TokenHash.extend(0, with: [1, 2, .max]) == 0x3E80_619C_F2AB_6C31)
  }

  @Test func tokenHashDependsOnIdsAndOrderAlone() {
    let ids: [UInt32] = (0..<500).map { $0 &* 2_654_435_761 }
    let whole = TokenHash.extend(TokenHash.empty, with: ids)
    for cut in [0, 1, 7, 250, 499, 500] {
      #expect(
        TokenHash.extend(TokenHash.extend(TokenHash.empty, with: ids[..<cut]), with: ids[cut...]) == whole)
    }
    // Not contiguous.
    #expect(TokenHash.extend(TokenHash.empty, with: ids.lazy.map { $0 }) == whole)
    #expect(TokenHash.extend(TokenHash.empty, with: ids.reversed()) != whole)
    #expect(TokenHash.extend(TokenHash.empty, with: ids.dropLast()) != whole)
    #expect(TokenHash.extend(TokenHash.empty, with: []) == TokenHash.empty)
  }
}

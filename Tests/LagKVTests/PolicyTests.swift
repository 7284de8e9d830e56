import LagKV
import Testing

@Suite struct PolicyTests {
  private let lag = 40
  private let headDim = 24

  private func place(head: Int = 0, layer: Int = 0, partition: Int = 0) -> PartitionPlace {
    PartitionPlace(
      layer: layer, head: head, partition: partition, lag: lag, headDim: headDim, elementType: .float32)
  }

  /// Runs a policy over f32 rows `[lag, headDim]`, in blocks of 7 rows.
  private func select(
    _ policy: any RetentionPolicy, keep: Int, keys: [Float], values: [Float], at place: PartitionPlace
  ) -> [Int] {
    keys.withUnsafeBytes { keys in
      values.withUnsafeBytes { values in
        guard let keys = keys.baseAddress, let values = values.baseAddress else { return [] }
        let blocks = stride(from: 0, to: lag, by: 7).map { first in
          RowBlock(
            keys: keys + first * headDim * 4, values: values + first * headDim * 4, count: min(7, lag - first)
          )
        }
        return policy.select(keep: keep, partition: blocks, reference: blocks, at: place).map(Int.init)
      }
    }
  }

  private func rows(seed: UInt64) -> [Float] {
    var state = seed
    return (0..<lag * headDim).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Float(Int64(bitPattern: state) >> 40) / 8_388_608
    }
  }

  private func policy(_ kind: PolicyKind, seed: UInt64 = 0) throws -> any RetentionPolicy {
    try RetentionParameters(policy: kind, sinks: 4, lag: lag, ratio: 0.5, seed: seed).makePolicy()
  }

  @Test(arguments: PolicyKind.allCases)
  func everyPolicyGivesSoManyAscendingPositions(kind: PolicyKind) throws {
    let keys = rows(seed: 1)
    let values = rows(seed: 2)
    for keep in [0, 1, 7, 39, 40] {
      let picked = select(try policy(kind), keep: keep, keys: keys, values: values, at: place())
      #expect(picked.count == keep)
      #expect(zip(picked, picked.dropFirst()).allSatisfy { $0.0 < $0.1 })
      #expect(picked.allSatisfy { (0..<lag).contains($0) })
    }
  }

  @Test func l2normKeepsTheShortestKeys() throws {
    let keys = rows(seed: 3)
    let norms = (0..<lag).map { t in
      (0..<headDim).reduce(0.0) { $0 + Double(keys[t * headDim + $1]) * Double(keys[t * headDim + $1]) }
    }
    let expected = (0..<lag).sorted { norms[$0] < norms[$1] }.prefix(11).sorted()
    // The values would lead elsewhere: they are the keys backwards.
    let picked = select(
      try policy(.l2norm), keep: 11, keys: keys, values: keys.reversed(), at: place())
    #expect(picked == expected)
  }

  @Test(arguments: [PolicyKind.lagkv, .l2norm])
  func tiesGoToTheLowerPosition(kind: PolicyKind) throws {
    // Two kinds of rows in turn, each tied within itself, and a last row that gives every channel a range.
    let flat = [Float](repeating: 0, count: headDim)
    let varied = (0..<headDim).map { Float($0 % 3) }
    let last = [Float](repeating: 8, count: headDim)
    let keys = (0..<lag).flatMap { $0 == lag - 1 ? last : $0 % 2 == 0 ? flat : varied }
    let few = select(try policy(kind), keep: 5, keys: keys, values: keys, at: place())
    let many = select(try policy(kind), keep: 22, keys: keys, values: keys, at: place())
    let even = (0..<20).map { 2 * $0 }
    let odd = (0..<19).map { 2 * $0 + 1 }
    if kind == .l2norm {
      #expect(few == Array(even.prefix(5)))
      #expect(many == (even + odd.prefix(2)).sorted())
    } else {
      #expect(few == Array(odd.prefix(5)))
      #expect(many == (odd + even.prefix(3)).sorted())
    }
  }

  @Test func randomDependsOnPlaceAndSeedAlone() throws {
    let a = rows(seed: 4)
    let b = rows(seed: 5)
    let base = select(try policy(.random), keep: 10, keys: a, values: a, at: place())
    #expect(select(try policy(.random), keep: 10, keys: b, values: b, at: place()) == base)
    #expect(select(try policy(.random, seed: 1), keep: 10, keys: a, values: a, at: place()) != base)
    for other in [place(head: 1), place(layer: 1), place(partition: 1)] {
      #expect(select(try policy(.random), keep: 10, keys: a, values: a, at: other) != base)
    }
    // A larger share holds the smaller one: tokens are ordered, not drawn anew.
    let more = select(try policy(.random), keep: 20, keys: a, values: a, at: place())
    #expect(Set(more).isSuperset(of: base))
  }

  @Test func randomPrefersNoPosition() throws {
    let keys = rows(seed: 6)
    var counts = [Int](repeating: 0, count: lag)
    for partition in 0..<2000 {
      for position in select(
        try policy(.random), keep: 10, keys: keys, values: keys, at: place(partition: partition))
      { counts[position] += 1 }
    }
    // 2000 draws with probability 1/4: 500 each, standard deviation 19.4; five of them either way.
    #expect(counts.allSatisfy { abs($0 - 500) < 97 })
  }

  @Test func valueWeightWeighsTheValues() {
    let keys = rows(seed: 7)
    let values = rows(seed: 8)
    let keysOnly = select(LagKVPolicy(valueWeight: 0), keep: 10, keys: keys, values: values, at: place())
    #expect(
      keysOnly == select(LagKVPolicy(valueWeight: 0), keep: 10, keys: keys, values: keys, at: place()))
    let mostlyValues = select(
      LagKVPolicy(valueWeight: 1e6), keep: 10, keys: keys, values: values, at: place())
    #expect(
      mostlyValues == select(LagKVPolicy(valueWeight: 0), keep: 10, keys: values, values: keys, at: place()))
    #expect(keysOnly != mostlyValues)
  }
}

import GoldenCases
import Kernels
import LagKV
import Testing

@Suite struct GoldenSelectionTests {
  @Test func theCasesAreThere() {
    #expect(GoldenCase.fixtures.count == 22)
    #expect(Set(GoldenCase.fixtures.map(\.elementType)) == Set(ElementType.allCases))
  }

  /// All rows of a tensor, `[kvHeads, tokens, headDim]`, as a session holds them.
  private func sessionRows(_ name: String, _ golden: GoldenCase) throws -> [UInt8] {
    let rows = try golden.rows(name, 0..<golden.tokens, headMajor: true)
    guard golden.sessionType != golden.elementType else { return rows }
    let count = golden.kvHeads * golden.tokens * golden.headDim
    var rounded = [UInt8](repeating: 0, count: count * golden.sessionType.byteCount)
    lagoon_convert(rows, golden.elementType.rawValue, &rounded, golden.sessionType.rawValue, count)
    return rounded
  }

  /// Positions and counts, whatever the blocks that the rows come in.
  @Test(arguments: GoldenCase.fixtures, [Int.max, 5])
  func positionsAreTheReferences(golden: GoldenCase, blockRows: Int) throws {
    let parameters = try golden.retention
    let geometry = parameters.geometry(layer: 0)
    #expect(geometry.kept == golden.keep)
    #expect(geometry.scoredPartitions(golden.tokens) == golden.partitions)
    #expect(geometry.totalRows(golden.tokens) == golden.keptTokens)

    let policy = parameters.makePolicy()
    let expectedScores = try golden.floats("scores")
    let keys = try sessionRows("k", golden)
    let values = try sessionRows("v", golden)
    var selected: [Int] = []
    var retained: [Int] = []
    try keys.withUnsafeBytes { keys in
      try values.withUnsafeBytes { values in
        let keys = try #require(keys.baseAddress)
        let values = try #require(values.baseAddress)
        func blocks(_ head: Int, _ positions: Range<Int>) -> [RowBlock] {
          stride(from: positions.lowerBound, to: positions.upperBound, by: min(blockRows, golden.lag)).map {
            first in
            let offset = (head * golden.tokens + first) * golden.headDim * golden.sessionType.byteCount
            let count = min(min(blockRows, golden.lag), positions.upperBound - first)
            return RowBlock(keys: keys + offset, values: values + offset, count: count)
          }
        }
        for head in 0..<golden.kvHeads {
          retained += Array(0..<min(golden.sinks, golden.tokens))
          for partition in 0..<golden.partitions {
            let place = PartitionPlace(
              layer: 0, head: head, partition: partition, lag: golden.lag, headDim: golden.headDim,
              elementType: golden.sessionType)
            let own = geometry.positions(ofPartition: partition)
            let rows = blocks(head, own)
            let reference = blocks(head, geometry.positions(ofPartition: partition + 1))
            let picked = policy.select(
              keep: golden.keep, partition: rows, reference: reference, at: place
            ).map { own.lowerBound + Int($0) }
            selected += picked
            retained += picked

            let scores = LagKVPolicy(valueWeight: Float(golden.valueWeight))
              .scores(partition: rows, reference: reference, at: place)
            let from = (head * golden.partitions + partition) * golden.lag
            for (a, b) in zip(scores, expectedScores[from..<from + golden.lag]) {
              #expect(abs(a - b) <= 2e-6 * b, "head \(head), partition \(partition)")
            }
            for index in 0..<lagoon_target_count() {
              lagoon_set_thread_target(index)
              let again = LagKVPolicy(valueWeight: Float(golden.valueWeight))
                .scores(partition: rows, reference: reference, at: place)
              lagoon_set_thread_target(-1)
              #expect(again.map(\.bitPattern) == scores.map(\.bitPattern))
            }
          }
          let window = geometry.windowRows(golden.tokens)
          retained += Array(golden.tokens - window..<golden.tokens)
        }
      }
    }
    #expect(selected == (try golden.integers("selected")))
    #expect(retained == (try golden.integers("retained")))
  }
}

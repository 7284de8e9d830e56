import TestSupport
import Testing
import TrainingData

@Suite struct PieceCutsTests {
  @Test func everyTokenLiesInExactlyOnePiece() {
    var random = SeededGenerator(1)
    for _ in 0..<20_000 {
      let maximum = Int.random(in: 4...40, using: &random)
      let count = Int.random(in: 2...6 * maximum, using: &random)
      let epoch = Int.random(in: 0...3, using: &random)
      let cuts = PieceCuts(count: count, maximum: maximum)
      let bits = random.next()
      let ranges = (0..<cuts.pieces(epoch: epoch)).map { cuts.range(ofPiece: $0, epoch: epoch, bits: bits) }
      #expect(ranges.first?.lowerBound == 0 && ranges.last?.upperBound == count)
      #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
      #expect(ranges.allSatisfy { (2...maximum).contains($0.count) })
      #expect(ranges.dropFirst().dropLast().allSatisfy { $0.count == maximum })
    }
  }

  @Test func theFirstEpochIsCutWithoutShift() {
    let ranges = { (count: Int) in
      let cuts = PieceCuts(count: count, maximum: 10)
      return (0..<cuts.firstPieces).map { cuts.range(ofPiece: $0, epoch: 0, bits: .max) }
    }
    #expect(ranges(10) == [0..<10])
    #expect(ranges(25) == [0..<10, 10..<20, 20..<25])
    #expect(ranges(20) == [0..<10, 10..<20])
    // No piece of one token.
    #expect(ranges(21) == [0..<9, 9..<19, 19..<21])
  }

  @Test func laterEpochsAreCutInMostPlaces() {
    var random = SeededGenerator(2)
    for count in [65, 66, 90, 95, 96, 97, 98, 120, 126, 127, 128, 1000] {
      let cuts = PieceCuts(count: count, maximum: 64)
      let firsts = Set((0..<20_000).map { _ in cuts.range(ofPiece: 0, epoch: 1, bits: random.next()).count })
      #expect(firsts.count >= 28, "\(count)")
      #expect(abs(cuts.laterPieces - cuts.firstPieces) <= 1)
    }
    let whole = PieceCuts(count: 64, maximum: 64)
    #expect(whole.laterPieces == 1 && whole.range(ofPiece: 0, epoch: 5, bits: .max) == 0..<64)
  }
}

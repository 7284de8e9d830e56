import LagKV
import Testing

@Suite struct GeometryTests {
  /// The definition, one token at a time.
  private struct Simulation {
    let geometry: TokenGeometry
    var kept = 0
    var window = 0
    var scored = 0

    mutating func append(position: Int) {
      if position < geometry.sinks {
        kept += 1
        return
      }
      window += 1
      // Partition p + 1 is complete: p leaves the window and keeps K of its rows.
      if window == 2 * geometry.lag {
        window -= geometry.lag
        kept += geometry.kept
        scored += 1
      }
    }
  }

  @Test(arguments: [
    (0, 1, 0), (0, 1, 1), (3, 1, 1), (0, 5, 2), (4, 8, 2), (16, 32, 8), (7, 10, 10), (1, 6, 0),
  ])
  func closedFormsCountWhatASimulationCounts(sinks: Int, lag: Int, kept: Int) {
    let geometry = TokenGeometry(sinks: sinks, lag: lag, kept: kept)
    var simulation = Simulation(geometry: geometry)
    for t in 0...sinks + 7 * lag + 3 {
      #expect(geometry.scoredPartitions(t) == simulation.scored, "\(t) tokens")
      #expect(geometry.keptRows(t) == simulation.kept, "\(t) tokens")
      #expect(geometry.windowRows(t) == simulation.window, "\(t) tokens")
      #expect(geometry.totalRows(t) == simulation.kept + simulation.window, "\(t) tokens")
      simulation.append(position: t)
    }
  }

  @Test func theCountOfTheDesign() throws {
    // kept = S + K·(P−1) + L + (t−S) mod L for t ≥ S + 2L, with P complete partitions.
    let geometry = try RetentionParameters(policy: .lagkv, sinks: 16, lag: 64, ratio: 0.25).geometry(layer: 0)
    for t in 16 + 128...16 + 700 {
      #expect(geometry.totalRows(t) == 16 + 16 * ((t - 16) / 64 - 1) + 64 + (t - 16) % 64)
    }
  }

  @Test(arguments: [(0, 1), (0, 7), (5, 3), (4, 8), (10, 1)])
  func segmentsTileTheAppendAndNameTheirPlace(sinks: Int, lag: Int) {
    let geometry = TokenGeometry(sinks: sinks, lag: lag, kept: 0)
    for start in 0...sinks + 3 * lag {
      for count in 0...sinks + 3 * lag {
        var next = start
        for segment in geometry.segments(from: start, count: count) {
          #expect(segment.positions.lowerBound == next)
          #expect(!segment.positions.isEmpty)
          next = segment.positions.upperBound
          switch segment {
          case .sinks(let positions):
            #expect(positions.upperBound <= sinks)
          case .partition(let p, let positions, let completes):
            let whole = sinks + p * lag..<sinks + (p + 1) * lag
            #expect(whole == geometry.positions(ofPartition: p))
            #expect(positions.lowerBound >= whole.lowerBound && positions.upperBound <= whole.upperBound)
            #expect(completes == (positions.upperBound == whole.upperBound))
            #expect(geometry.partition(ofPosition: positions.lowerBound) == p)
          }
        }
        #expect(next == start + count)
      }
    }
  }

  /// However a document is cut, the same partitions complete, in the same order.
  @Test func cutsCompleteTheSamePartitions() {
    let geometry = TokenGeometry(sinks: 4, lag: 8, kept: 2)
    func completed(cutBy step: Int) -> [Int] {
      stride(from: 0, to: 100, by: step).flatMap { start in
        geometry.segments(from: start, count: min(step, 100 - start)).compactMap { segment -> Int? in
          if case .partition(let p, _, completes: true) = segment { return p }
          return nil
        }
      }
    }
    let whole = completed(cutBy: 100)
    #expect(whole == Array(0..<12))
    for step in 1...99 { #expect(completed(cutBy: step) == whole) }
  }
}

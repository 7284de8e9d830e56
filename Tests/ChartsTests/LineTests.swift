import Charts
import Foundation
import Testing

/// What happens to lines on their way to the page.
@Suite struct LineTests {
  private static let frame = Frame(left: 10, top: 20, width: 100, height: 50)

  private func place() -> Place { Place(Double.random(in: -50...200), Double.random(in: -50...150)) }

  private func isInside(_ place: Place, margin: Double = 0) -> Bool {
    place.x >= 10 - margin && place.x <= 110 + margin && place.y >= 20 - margin && place.y <= 70 + margin
  }

  private func distance(_ place: Place, _ from: Place, _ to: Place) -> Double {
    let (dx, dy) = (to.x - from.x, to.y - from.y)
    let square = dx * dx + dy * dy
    let along = square > 0 ? ((place.x - from.x) * dx + (place.y - from.y) * dy) / square : 0
    let share = min(max(along, 0), 1)
    return hypot(place.x - from.x - share * dx, place.y - from.y - share * dy)
  }

  @Test func clippingKeepsWhatIsInsideAndNothingElse() {
    for _ in 0..<500 {
      let line = (0..<Int.random(in: 2...6)).map { _ in place() }
      let parts = Clipping.line(line, to: Self.frame)
      #expect(parts.joined().allSatisfy { isInside($0, margin: 1e-9) })
      let segments = parts.flatMap { Array(zip($0, $0.dropFirst())) }
      for (from, to) in zip(line, line.dropFirst()) {
        for share in stride(from: 0.0, through: 1, by: 0.05) {
          let point = Place(from.x + share * (to.x - from.x), from.y + share * (to.y - from.y))
          guard isInside(point) else { continue }
          #expect(segments.contains { distance(point, $0.0, $0.1) < 1e-9 })
        }
      }
    }
  }

  @Test func aLineInsideStaysInOnePiece() {
    let line = [Place(10, 20), Place(60, 70), Place(110, 20), Place(11, 30)]
    #expect(Clipping.line(line, to: Self.frame) == [line])
    #expect(Clipping.line([Place(0, 0), Place(0, 100)], to: Self.frame).isEmpty)
  }

  @Test func thinningKeepsEveryColumnsExtremes() {
    let line = (0..<20_000).map { Place(Double($0) / 100, Double.random(in: 0...100)) }
    let thin = Thinning.thin(line)
    func columns(_ places: [Place]) -> [Int: [Place]] {
      Dictionary(grouping: places) { Int(($0.x * 2).rounded(.down)) }
    }
    let (before, after) = (columns(line), columns(thin))
    #expect(before.keys == after.keys)
    for (column, places) in before {
      let kept = after[column] ?? []
      #expect(kept.count <= 4)
      #expect(kept.map(\.y).min() == places.map(\.y).min() && kept.map(\.y).max() == places.map(\.y).max())
      #expect(kept.first == places.first && kept.last == places.last)
    }
    #expect(thin.map(\.x) == thin.map(\.x).sorted())
    let few = (0..<50).map { Place(Double($0), Double.random(in: 0...100)) }
    #expect(Thinning.thin(few) == few)
  }

  @Test func dashesHaveTheirLengths() {
    let line = [Place(0, 0), Place(7, 0), Place(7, 11), Place(7, 11), Place(30, 11)]
    let dashes = Dashes.cut(line, [3, 2])
    let lengths = dashes.map { dash in
      zip(dash, dash.dropFirst()).reduce(0.0) { $0 + hypot($1.1.x - $1.0.x, $1.1.y - $1.0.y) }
    }
    // 41 units: eight of 5, and 1 of the ninth dash.
    #expect(lengths.count == 9)
    #expect(zip(lengths, Array(repeating: 3.0, count: 8) + [1]).allSatisfy { abs($0 - $1) < 1e-9 })
    #expect(Dashes.cut(line, []) == [line])
  }

  /// By the definition, which takes a sum over all points for each.
  @Test func theMeanIsTheDefinitions() {
    var points: [Series.Point] = []
    var x = 0.0
    for _ in 0..<300 {
      x += Double(Int.random(in: 1...3))
      points.append(.init(x, Int.random(in: 0..<10) == 0 ? nil : Double.random(in: 0.1...9)))
    }
    let isUsed: (Double) -> Bool = { Int($0) % 7 != 0 }
    for isLogarithmic in [false, true] {
      let means = RunningMean.smooth(points, width: 20, isLogarithmic: isLogarithmic, using: isUsed)
      for (point, mean) in zip(points, means) {
        guard point.y != nil else {
          #expect(mean.y == nil)
          continue
        }
        var (sum, weights) = (0.0, 0.0)
        for other in points where isUsed(other.x) {
          guard let value = other.y else { continue }
          let weight = exp(-abs(other.x - point.x) / 10)
          sum += weight * (isLogarithmic ? log(value) : value)
          weights += weight
        }
        let expected = isLogarithmic ? exp(sum / weights) : sum / weights
        #expect(abs((mean.y ?? .infinity) - expected) < 1e-9 * expected)
      }
    }
  }
}

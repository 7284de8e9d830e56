import Charts
import Foundation
import FoundationXML
import Inspection
import Testing

@Suite struct FigureTests {
  /// The elements of an SVG file; throws when it is not well-formed.
  private final class Elements: NSObject, XMLParserDelegate {
    private(set) var all: [(name: String, attributes: [String: String], text: String)] = []
    /// What is read is within the last element, not between elements.
    private var isOpen = false

    init(_ svg: String) throws {
      super.init()
      let parser = XMLParser(data: Data(svg.utf8))
      parser.delegate = self
      guard parser.parse() else { throw parser.parserError ?? CocoaError(.fileReadCorruptFile) }
    }

    func parser(
      _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
      attributes: [String: String]
    ) {
      all.append((name, attributes, ""))
      isOpen = true
    }

    func parser(
      _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
    ) {
      isOpen = false
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
      if isOpen { all[all.count - 1].text += text }
    }

    var texts: [String] { all.filter { $0.name == "text" }.map(\.text) }

    /// Places of the paths of one colour, path by path.
    func paths(_ color: String) -> [[Place]] {
      all.filter { $0.name == "path" && $0.attributes["stroke"] == color }.map { element in
        let places = (element.attributes["d"] ?? "").dropFirst().split(separator: "L")
        return places.map { text in
          let numbers = text.split(separator: " ").compactMap { Double($0) }
          return Place(numbers[0], numbers[1])
        }
      }
    }

    func frames(_ color: String) -> [Frame] {
      all.filter { $0.name == "rect" && $0.attributes["fill"] == color }.map { element in
        let numbers = ["x", "y", "width", "height"].compactMap { Double(element.attributes[$0] ?? "") }
        return Frame(left: numbers[0], top: numbers[1], width: numbers[2], height: numbers[3])
      }
    }
  }

  private static let ink = Color(0x123456)

  private func figure(
    _ style: Series.Style, _ points: [Series.Point], x: Axis = Axis("step"), y: Axis = Axis()
  ) -> Figure {
    let chart = Chart("loss", unit: "nats", x: x, y: y, series: [Series("train", Self.ink, style, points)])
    return Figure(title: "A run", subtitle: "Its steps", charts: [chart])
  }

  @Test func textStandsInTheFileWhateverItHolds() throws {
    let hostile = "</text><script>alert('1')</script> & \"x\" ]]> 🐋 é ¼"
    var figure = figure(.line(width: 1), [.init(0, 1), .init(1, 2)], x: Axis(hostile))
    figure.title = hostile
    figure.subtitle = "a\u{0}b\u{1b}c\nd\u{FFFE}"
    figure.charts[0].series[0].name = hostile
    let elements = try Elements(figure.svg())
    #expect(elements.texts.filter { $0 == hostile }.count == 3)
    #expect(elements.all.contains { $0.name == "title" && $0.text == hostile })
    #expect(elements.texts.contains("a\u{FFFD}b\u{FFFD}c d\u{FFFD}"))
    #expect(!elements.all.contains { $0.name == "script" })
  }

  @Test func theSameFigureGivesTheSameBytes() {
    let points = (0..<5000).map { Series.Point(Double($0), sin(Double($0) / 50)) }
    let figure = figure(.line(width: 1, opacity: 0.5, dash: [2, 1]), points)
    #expect(figure.svg() == figure.svg())
    #expect(figure.canvas().pixels == figure.canvas().pixels)
  }

  /// Corners of the data are corners of the axes.
  @Test func valuesStandWhereTheAxesSay() throws {
    let elements = try Elements(figure(.line(width: 1), [.init(0, 0), .init(50, 5), .init(100, 10)]).svg())
    let line = try #require(elements.paths("#123456").last)
    let grid = elements.paths("#e6e6e6").flatMap { $0 }
    let (left, right) = (grid.map(\.x).min() ?? 0, grid.map(\.x).max() ?? 0)
    let (top, bottom) = (grid.map(\.y).min() ?? 0, grid.map(\.y).max() ?? 0)
    #expect(bottom - top == 180)
    #expect(line == [Place(left, bottom), Place((left + right) / 2, (top + bottom) / 2), Place(right, top)])
    for label in ["0", "10", "100", "step", "loss", "nats", "train", "A run", "Its steps"] {
      #expect(elements.texts.contains(label))
    }
  }

  @Test func logarithmicValuesStandWhereTheAxesSay() throws {
    let points: [Series.Point] = [.init(1, 1), .init(10, 10), .init(100, 100)]
    let figure = figure(.line(width: 1), points, x: Axis(scale: .logarithmic), y: Axis(scale: .logarithmic))
    let line = try #require(try Elements(figure.svg()).paths("#123456").last)
    #expect(abs(line[1].x - (line[0].x + line[2].x) / 2) < 0.02)
    #expect(abs(line[1].y - (line[0].y + line[2].y) / 2) < 0.02)
    #expect(line[0].y - line[2].y == 180)
  }

  @Test func missingValuesLeaveGaps() throws {
    let values: [Double?] = [1, 2, nil, 3, 4, .nan, .infinity, 5, nil, 6, 7]
    let points = values.enumerated().map { Series.Point(Double($0.offset), $0.element) }
    let lines = try Elements(figure(.line(width: 1), points).svg()).paths("#123456")
    // The first is the legend's.
    #expect(lines.count == 5)
    let discs = try Elements(figure(.discs, points).svg()).all.filter { $0.name == "circle" }
    #expect(discs.count == 1 + 7)
  }

  @Test func nothingIsDrawnBesideTheAxes() throws {
    let points = (0..<200).map { Series.Point(Double($0) - 50, Double.random(in: -1e12...1e12)) }
    let axes = Axis(range: 0...100)
    for style in [Series.Style.line(width: 1), .lineAndDiscs, .bars] {
      var figure = figure(style, points, x: axes, y: Axis(range: -1...1))
      figure.charts[0].series[0].name = nil
      let elements = try Elements(figure.svg())
      let grid = elements.paths("#e6e6e6").flatMap { $0 }
      let (left, right) = (try #require(grid.map(\.x).min()), try #require(grid.map(\.x).max()))
      let (top, bottom) = (try #require(grid.map(\.y).min()), try #require(grid.map(\.y).max()))
      let drawn = elements.paths("#123456").flatMap { $0 }
      #expect(drawn.allSatisfy { $0.x >= left - 0.01 && $0.y >= top - 0.01 && $0.y <= bottom + 0.01 })
      let bars = elements.frames("#123456")
      #expect(bars.allSatisfy { $0.top >= top - 0.02 && $0.bottom <= bottom + 0.02 })
      #expect(bars.allSatisfy { $0.left >= left - 0.02 && $0.right <= right + 0.02 })
      #expect(drawn.allSatisfy { $0.x <= right + 0.01 })
    }
  }

  @Test func barsStandOnZeroAndShowTheirValues() throws {
    let groups = Axis.groups(["dense", "lrsa"])
    var chart = Chart(
      "recall", unit: "%", x: groups, y: Axis(),
      series: [
        Series("a", Self.ink, .bars, [.init(0, 40, interval: 30...50), .init(1, 80)]),
        Series("b", Color(0x654321), .bars, [.init(0, 20), .init(1, -20)]),
      ])
    chart.height = 240
    let elements = try Elements(Figure(title: "", charts: [chart]).svg())
    // The axis goes from −20 to 80 in 240 units.
    let (first, second) = (elements.frames("#123456"), elements.frames("#654321"))
    #expect(first.dropFirst().map(\.height) == [96, 192])
    #expect(second.dropFirst().map(\.height) == [48, 48])
    #expect(first[1].bottom == first[2].bottom)
    #expect(abs(second[2].top - first[2].bottom) < 0.011)
    #expect(first[1].right < second[1].left && second[1].right < first[2].left)
    #expect(elements.texts.contains("dense") && elements.texts.contains("lrsa"))
    // The whisker: 20 of 100 on 240 units.
    #expect(elements.paths("#222222").contains { $0.count == 2 && abs(abs($0[0].y - $0[1].y) - 48) < 0.011 })
  }

  /// The picture has ink where the vector file has a line, and is as large.
  @Test func pictureAndVectorFileAgree() throws {
    let figure = figure(.line(width: 3), [.init(0, 0), .init(1, 1)])
    let elements = try Elements(figure.svg())
    let size = elements.all.first { $0.name == "svg" }?.attributes
    let canvas = figure.canvas()
    #expect(canvas.width == 2 * (Int(size?["width"] ?? "") ?? 0))
    #expect(canvas.height == 2 * (Int(size?["height"] ?? "") ?? 0))
    var inked = 0
    for y in 0..<canvas.height { for x in 0..<canvas.width where canvas[x, y] == Self.ink { inked += 1 } }
    // A diagonal of about 700 units, 3 wide, at four pixels a square unit; its edges are lighter.
    #expect((5000...9500).contains(inked))
  }

  /// Where segments of a translucent line meet, it is no darker than elsewhere.
  @Test func jointsAreNoDarker() {
    let points = (0...100).map { Series.Point(Double($0), 0.5) }
    let canvas = figure(.line(width: 4, opacity: 0.5), points).canvas()
    var colors: Set<Color> = []
    for x in canvas.width / 3..<canvas.width / 2 {
      let column = (0..<canvas.height).map { canvas[x, $0] }
      colors.insert(column.min { $0.red < $1.red && $0.blue > $0.green } ?? .white)
      #expect(!column.contains(Self.ink))
    }
    #expect(!colors.isEmpty)
  }

  @Test func emptyAndSingleValuesDraw() throws {
    for points: [Series.Point] in [[], [.init(3, 0)], [.init(3, 7)], [.init(0, nil)], [.init(1, 1e308)]] {
      for scale in [Axis.Scale.linear, .logarithmic] {
        let figure = figure(.line(width: 1), points, x: Axis(scale: scale), y: Axis(scale: scale))
        _ = try Elements(figure.svg())
        _ = figure.canvas()
        let shown = points.first?.y.map { $0 < 1e300 && (scale == .linear || $0 > 0) } ?? false
        #expect(figure.charts[0].hasValues == shown)
      }
    }
  }

  @Test func filesAreOfTheirKind() throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-charts-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let figure = figure(.lineAndDiscs, [.init(0, 0), .init(1, 1)])
    try figure.write(to: folder + "/a.SVG")
    try figure.write(to: folder + "/a.png")
    #expect(try String(contentsOfFile: folder + "/a.SVG", encoding: .utf8) == figure.svg())
    #expect(
      try Data(contentsOf: URL(filePath: folder + "/a.png")).prefix(4) == Data([0x89, 0x50, 0x4E, 0x47]))
    for name in ["a.pdf", "a", "svg"] {
      let error = #expect(throws: FigureError.self) { try figure.write(to: folder + "/" + name) }
      #expect(error?.message.contains("ends in .svg or .png") == true)
    }
    #expect(throws: FigureError.self) { try figure.write(to: folder + "/none/a.svg") }
    // A symbolic link stays.
    let link = folder + "/link.svg"
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "behind.svg")
    try figure.write(to: link)
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "behind.svg")
    #expect(try String(contentsOfFile: folder + "/behind.svg", encoding: .utf8) == figure.svg())
  }
}

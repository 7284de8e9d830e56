import CPNG
import Foundation
import Inspection
import Testing

@Suite struct DrawingTests {
  static let map = HeatMap(
    session: "a", policy: "lagkv", tokens: 1040, sinks: 16, lag: 64, window: 64,
    layers: [.init(index: 0, kept: [Array(0..<528), Array(0..<1040)])])

  @Test func rampGetsLighterEvenly() {
    // CIE L* of the colours; D65, sRGB.
    func lightness(_ color: Color) -> Double {
      func linear(_ channel: UInt8) -> Double {
        let value = Double(channel) / 255
        return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
      }
      let y = 0.2126 * linear(color.red) + 0.7152 * linear(color.green) + 0.0722 * linear(color.blue)
      return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y
    }
    let steps = (0...32).map { lightness(ColorRamp.color(Double($0) / 32)) }
    let mean = (steps[32] - steps[0]) / 32
    for (from, to) in zip(steps, steps.dropFirst()) {
      #expect(to - from > mean * 0.5 && to - from < mean * 1.6)
    }
    #expect(ColorRamp.color(-1) == ColorRamp.color(0))
    #expect(ColorRamp.color(2) == ColorRamp.color(1))
  }

  @Test func everyPrintableCharacterHasItsOwnGlyph() {
    var drawings: Set<[UInt8]> = []
    let characters = (32...126).map { Character(UnicodeScalar($0)) } + ["×", "·", "≥", "\u{1F40B}"]
    for character in characters {
      var canvas = Canvas(width: 6, height: 9)
      canvas.draw(String(character), x: 0, y: 0, scale: 1, Color(0))
      #expect((canvas.pixels.contains(0)) == (character != " "))
      drawings.insert(canvas.pixels)
    }
    #expect(drawings.count == characters.count)
  }

  @Test func textIsAsWideAsItSaysAndStandsWhereItIsPut() {
    for alignment in [Canvas.Alignment.leading, .center, .trailing] {
      var canvas = Canvas(width: 200, height: 30)
      canvas.draw("HEAD", x: 100, y: 5, scale: 2, Color(0), align: alignment)
      let inked = (0..<200).filter { x in (0..<30).contains { canvas[x, $0] != .white } }
      let width = BitmapFont.width(of: "HEAD", scale: 2)
      #expect((inked.last ?? 0) - (inked.first ?? 0) + 1 == width)
      let left =
        switch alignment {
        case .leading: 100
        case .center: 100 - width / 2
        case .trailing: 100 - width
        }
      #expect(inked.first == left)
    }
  }

  @Test func drawingOutsideIsCutOff() {
    var canvas = Canvas(width: 4, height: 4)
    canvas.fill(x: -3, y: -3, width: 5, height: 5, Color(0x102030))
    canvas.fill(x: 9, y: 9, width: 5, height: 5, Color(0))
    let inked = (0..<16).filter { canvas[$0 % 4, $0 / 4] != .white }
    #expect(inked == [0, 1, 4, 5])
  }

  /// Reads the file back through libpng.
  @Test func filesHoldThePicture() throws {
    let path = NSTemporaryDirectory() + "inspection-\(UUID().uuidString).png"
    defer { try? FileManager.default.removeItem(atPath: path) }
    let canvas = try Self.map.draw()
    try canvas.writePNG(to: path)
    var image = png_image()
    image.version = png_uint_32(PNG_IMAGE_VERSION)
    #expect(png_image_begin_read_from_file(&image, path) != 0)
    image.format = png_uint_32(PNG_FORMAT_FLAG_COLOR)
    #expect(Int(image.width) == canvas.width && Int(image.height) == canvas.height)
    var pixels = [UInt8](repeating: 0, count: canvas.pixels.count)
    #expect(png_image_finish_read(&image, nil, &pixels, 0, nil) != 0)
    #expect(pixels == canvas.pixels)
  }

  /// A symbolic link stays and what it leads to is replaced; a FIFO stays and the bytes go into it.
  @Test func onlyARegularFileIsReplaced() throws {
    let path = NSTemporaryDirectory() + "inspection-\(UUID().uuidString)"
    let files = FileManager.default
    try files.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: path) }
    let canvas = Canvas(width: 3, height: 2)
    try files.createSymbolicLink(atPath: path + "/link.png", withDestinationPath: "picture.png")
    try canvas.writePNG(to: path + "/link.png")
    #expect(try files.destinationOfSymbolicLink(atPath: path + "/link.png") == "picture.png")
    #expect(try Data(contentsOf: URL(filePath: path + "/picture.png")) == canvas.pngData())
    try #require(mkfifo(path + "/fifo", 0o600) == 0)
    let reader = open(path + "/fifo", O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    try canvas.writePNG(to: path + "/fifo")
    #expect(try FileHandle(fileDescriptor: reader).readDataToEndOfFile() == canvas.pngData())
    #expect(try files.contentsOfDirectory(atPath: path).sorted() == ["fifo", "link.png", "picture.png"])
  }

  @Test func unwritablePathsAreNamed() {
    let error = #expect(throws: PNGError.self) {
      try Canvas(width: 1, height: 1).writePNG(to: "/nowhere/at/all.png")
    }
    #expect(error?.message.contains("/nowhere/at/all.png") == true)
  }

  @Test func bandsShowWhatIsKept() throws {
    let canvas = try Self.map.draw()
    let full = ColorRamp.color(1)
    let none = ColorRamp.color(0)
    func count(_ color: Color, _ columns: Range<Int>) -> Int {
      columns.reduce(0) { sum, x in sum + (0..<canvas.height).count { canvas[x, $0] == color } }
    }
    // Head 0 keeps the first half, head 1 everything: the empty colour covers about a quarter of the plot.
    let all = 0..<canvas.width
    let share = Double(count(none, all)) / Double(count(none, all) + count(full, all))
    #expect(share > 0.22 && share < 0.27)
    // Without anything kept before the window, the full colour is left to sinks, window and legend.
    let streaming = HeatMap(
      session: "a", policy: "streaming", tokens: 1040, sinks: 16, lag: 64, window: 64,
      layers: [.init(index: 0, kept: [Array(0..<16) + Array(976..<1040)])])
    var options = HeatMap.Options()
    options.scaleTop = 1
    let left = try streaming.draw(options)
    let width = 0..<left.width
    let empty = width.reduce(0) { sum, x in sum + (0..<left.height).count { left[x, $0] == none } }
    let filled = width.reduce(0) { sum, x in sum + (0..<left.height).count { left[x, $0] == full } }
    #expect(Double(filled) / Double(empty + filled) < 0.1)
  }

  @Test func layersStackAndZoomShows() throws {
    let layer = Self.map.layers[0]
    let three = HeatMap(
      session: "a", policy: "lagkv", tokens: 1040, sinks: 16, lag: 64, window: 64,
      layers: (0..<3).map { .init(index: $0, kept: layer.kept) })
    #expect(try three.draw().height > Self.map.draw().height + 2 * 2 * 64)
    var options = HeatMap.Options()
    options.shown = 100..<200
    options.plotWidth = 400
    let zoomed = try Self.map.draw(options)
    #expect(try zoomed.pixels != Self.map.draw().pixels)
    options.marks = [5, 150]  // the first lies outside
    let marked = try Self.map.draw(options)
    // A triangle of five lines, its tip on the pixel above the axis.
    #expect(zip(zoomed.pixels, marked.pixels).count { $0 != $1 } <= 3 * 25)
    #expect(marked.pixels != zoomed.pixels)
  }

  @Test func nothingToDrawIsAnError() {
    let empty = HeatMap(
      session: "new", policy: "lagkv", tokens: 0, sinks: 16, lag: 64, window: 0, layers: Self.map.layers)
    #expect(throws: HeatMapError.empty("session new holds no tokens yet")) { try empty.draw() }
    var options = HeatMap.Options()
    options.shown = 5000..<6000
    #expect(throws: HeatMapError.self) { try Self.map.draw(options) }
    let many = HeatMap(
      session: "a", policy: "lagkv", tokens: 10, sinks: 1, lag: 1, window: 1,
      layers: [.init(index: 0, kept: Array(repeating: [0], count: 20_000))])
    #expect(throws: HeatMapError.self) { try many.draw() }
  }

  @Test func documentsOfAnyLengthDraw() throws {
    for tokens in [1, 15, 16, 17, 79, 80, 81, 143, 144, 145, 1_000] {
      let map = HeatMap(
        session: "a", policy: "full", tokens: tokens, sinks: 16, lag: 64,
        window: max(0, min(tokens - 16, 64)),
        layers: [.init(index: 0, kept: [Array(0..<UInt32(tokens))])])
      let canvas = try map.draw()
      #expect(canvas.pixels.count == canvas.width * canvas.height * 3)
    }
  }
}

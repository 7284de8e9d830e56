import Inspection

/// Draws on a picture of pixels, twice as fine as the page's units, with smooth edges and the picture font.
struct CanvasPlotter: Plotter {
  /// Pixels of a unit of the page.
  static let scale = 2

  private(set) var canvas: Canvas

  init(width: Double, height: Double) {
    let pixels = { (length: Double) in max(1, Int((length * Double(Self.scale)).rounded(.up))) }
    canvas = Canvas(width: pixels(width), height: pixels(height))
  }

  func width(of text: String, _ style: TextStyle) -> Double {
    Double(BitmapFont.width(of: text, scale: Self.fontScale(style))) / Double(Self.scale)
  }

  mutating func fill(_ frame: Frame, _ color: Color) {
    let (left, top) = (Self.pixel(frame.left), Self.pixel(frame.top))
    canvas.fill(
      x: left, y: top, width: Self.pixel(frame.right) - left, height: Self.pixel(frame.bottom) - top, color)
  }

  mutating func line(_ places: [Place], _ stroke: Stroke) {
    let half = max(stroke.width * Double(Self.scale), 1) / 2
    for part in Dashes.cut(places, stroke.dash) {
      let pixels = part.map(Self.inPixels)
      // The nearest of the segments decides over a pixel, so that joints of a translucent line are no darker.
      paint(around: pixels, reach: half + 1, stroke.color, stroke.opacity) { mask in
        for (from, to) in zip(pixels, pixels.dropFirst()) {
          mask.cover(from: from, to: to, reach: half + 1) { distance in half + 0.5 - distance }
        }
      }
    }
  }

  mutating func disc(_ center: Place, radius: Double, fill: Color, outline: Color) {
    let (center, edge) = (Self.inPixels(center), 0.6 * Double(Self.scale))
    let radius = radius * Double(Self.scale)
    for (reach, color) in [(radius + edge, outline), (radius - edge, fill)] {
      paint(around: [center], reach: reach + 1, color, 1) { mask in
        mask.cover(from: center, to: center, reach: reach + 1) { distance in reach + 0.5 - distance }
      }
    }
  }

  mutating func triangle(_ corners: (Place, Place, Place), _ color: Color) {
    let places = [corners.0, corners.1, corners.2].map(Self.inPixels)
    let turn =
      (places[1].x - places[0].x) * (places[2].y - places[0].y)
      - (places[1].y - places[0].y) * (places[2].x - places[0].x)
    guard turn != 0 else { return }
    let edges = (0..<3).map { (places[$0], places[($0 + 1) % 3]) }
    paint(around: places, reach: 1, color, 1) { mask in
      mask.cover { pixel in
        // Inside by as much as the nearest edge is away.
        let inside = edges.map { from, to in
          let (dx, dy) = (to.x - from.x, to.y - from.y)
          let side = dx * (pixel.y - from.y) - dy * (pixel.x - from.x)
          return side * (turn > 0 ? 1 : -1) / (dx * dx + dy * dy).squareRoot()
        }
        return (inside.min() ?? 0) + 0.5
      }
    }
  }

  mutating func text(_ text: String, at place: Place, _ style: TextStyle) {
    let fontScale = Self.fontScale(style)
    // The font has no dashes but one.
    let drawn = String(text.map { "−–—".contains($0) ? "-" : $0 })
    let anchor: Canvas.Alignment =
      switch style.anchor {
      case .leading: .leading
      case .center: .center
      case .trailing: .trailing
      }
    for shift in 0...(style.isBold ? 1 : 0) {
      canvas.draw(
        drawn, x: Self.pixel(place.x) + shift, y: Self.pixel(place.y) - BitmapFont.capHeight * fontScale,
        scale: fontScale, style.color, align: anchor)
    }
  }

  /// Capitals are 0.7 of an em high.
  private static func fontScale(_ style: TextStyle) -> Int {
    max(1, Int((0.7 * style.size * Double(scale) / Double(BitmapFont.capHeight)).rounded()))
  }

  private static func pixel(_ length: Double) -> Int { Int((length * Double(scale)).rounded()) }

  private static func inPixels(_ place: Place) -> Place {
    Place(place.x * Double(scale), place.y * Double(scale))
  }

  /// Lays a colour over the pixels that `draw` covers.
  private mutating func paint(
    around places: [Place], reach: Double, _ color: Color, _ opacity: Double,
    _ draw: (inout CoverageMask) -> Void
  ) {
    guard
      var mask = CoverageMask(around: places, reach: reach, width: canvas.width, height: canvas.height)
    else { return }
    draw(&mask)
    for y in mask.rows {
      for x in mask.columns {
        let share = mask[x, y] * opacity
        guard share > 0 else { continue }
        canvas.fill(x: x, y: y, width: 1, height: 1, Self.mix(canvas[x, y], color, share))
      }
    }
  }

  private static func mix(_ below: Color, _ above: Color, _ share: Double) -> Color {
    func channel(_ path: KeyPath<Color, UInt8>) -> UInt8 {
      let (from, to) = (Double(below[keyPath: path]), Double(above[keyPath: path]))
      return UInt8((from + (to - from) * min(share, 1)).rounded())
    }
    return Color(red: channel(\.red), green: channel(\.green), blue: channel(\.blue))
  }
}

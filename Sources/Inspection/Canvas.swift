/// A colour of the sRGB space, eight bits a channel.
public struct Color: Sendable, Hashable {
  public var red: UInt8
  public var green: UInt8
  public var blue: UInt8

  public init(red: UInt8, green: UInt8, blue: UInt8) {
    (self.red, self.green, self.blue) = (red, green, blue)
  }

  /// `0xRRGGBB`.
  public init(_ hex: UInt32) {
    self.init(red: UInt8(hex >> 16 & 0xff), green: UInt8(hex >> 8 & 0xff), blue: UInt8(hex & 0xff))
  }

  public static let white = Color(0xffffff)
}

/// A picture in memory: three bytes a pixel, rows from the top. What is drawn outside it is cut off.
public struct Canvas: Sendable {
  public let width: Int
  public let height: Int
  /// Red, green, blue of every pixel: `[height, width, 3]`.
  public private(set) var pixels: [UInt8]

  public init(width: Int, height: Int, background: Color = .white) {
    precondition(width > 0 && height > 0)
    self.width = width
    self.height = height
    pixels = []
    pixels.reserveCapacity(width * height * 3)
    for _ in 0..<width * height {
      pixels.append(background.red)
      pixels.append(background.green)
      pixels.append(background.blue)
    }
  }

  public subscript(x: Int, y: Int) -> Color {
    let at = (y * width + x) * 3
    return Color(red: pixels[at], green: pixels[at + 1], blue: pixels[at + 2])
  }

  public mutating func fill(x: Int, y: Int, width: Int, height: Int, _ color: Color) {
    let columns = max(0, x)..<max(max(0, x), min(self.width, x + width))
    for row in max(0, y)..<max(max(0, y), min(self.height, y + height)) {
      var at = (row * self.width + columns.lowerBound) * 3
      for _ in columns {
        pixels[at] = color.red
        pixels[at + 1] = color.green
        pixels[at + 2] = color.blue
        at += 3
      }
    }
  }

  /// Where a text stands relative to the point that it is drawn at.
  public enum Alignment: Sendable { case leading, center, trailing }

  /// Draws one line of text; `y` is the top of its capitals.
  public mutating func draw(
    _ text: String, x: Int, y: Int, scale: Int = 2, _ color: Color, align: Alignment = .leading
  ) {
    let width = BitmapFont.width(of: text, scale: scale)
    var left =
      switch align {
      case .leading: x
      case .center: x - width / 2
      case .trailing: x - width
      }
    for character in text {
      for (row, bits) in BitmapFont.rows(of: character).enumerated() {
        for column in 0..<BitmapFont.width where bits >> (BitmapFont.width - 1 - column) & 1 == 1 {
          fill(x: left + column * scale, y: y + row * scale, width: scale, height: scale, color)
        }
      }
      left += BitmapFont.advance * scale
    }
  }
}

import Inspection

/// Draws on a Scalable Vector Graphics file (SVG 1.1). The same figure gives the same bytes.
struct SVGPlotter: Plotter {
  private var body = ""
  private let head: String

  /// - Parameter title: what a screen reader says.
  init(width: Double, height: Double, title: String) {
    let size = "\(Self.number(width))\" height=\"\(Self.number(height))"
    head = """
      <?xml version="1.0" encoding="UTF-8"?>
      <svg xmlns="http://www.w3.org/2000/svg" width="\(size)" viewBox="0 0 \(Self.number(width)) \
      \(Self.number(height))" font-family="Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif" role="img">
      <title>\(Self.escaped(title))</title>

      """
    fill(Frame(left: 0, top: 0, width: width, height: height), .white)
  }

  /// The whole file.
  var file: String { head + body + "</svg>\n" }

  func width(of text: String, _ style: TextStyle) -> Double {
    TextWidth.of(text, size: style.size, isBold: style.isBold)
  }

  mutating func fill(_ frame: Frame, _ color: Color) {
    body += "<rect x=\"\(Self.number(frame.left))\" y=\"\(Self.number(frame.top))\" "
    body += "width=\"\(Self.number(frame.width))\" height=\"\(Self.number(frame.height))\" "
    body += "fill=\"\(Self.hex(color))\"/>\n"
  }

  mutating func line(_ places: [Place], _ stroke: Stroke) {
    guard places.count >= 2 else { return }
    body += "<path d=\"M" + places.map(Self.pair).joined(separator: "L") + "\" fill=\"none\" "
    body += "stroke=\"\(Self.hex(stroke.color))\" stroke-width=\"\(Self.number(stroke.width))\""
    if stroke.opacity < 1 { body += " stroke-opacity=\"\(Self.number(stroke.opacity))\"" }
    if !stroke.dash.isEmpty {
      body += " stroke-dasharray=\"\(stroke.dash.map(Self.number).joined(separator: " "))\""
    }
    // A mitre on a noisy curve would stick out far beyond its values.
    body += places.count > 2 ? " stroke-linejoin=\"round\"/>\n" : "/>\n"
  }

  mutating func disc(_ center: Place, radius: Double, fill: Color, outline: Color) {
    body +=
      "<circle cx=\"\(Self.number(center.x))\" cy=\"\(Self.number(center.y))\" r=\"\(Self.number(radius))\" "
    body += "fill=\"\(Self.hex(fill))\" stroke=\"\(Self.hex(outline))\" stroke-width=\"1.2\"/>\n"
  }

  mutating func triangle(_ corners: (Place, Place, Place), _ color: Color) {
    let places = [corners.0, corners.1, corners.2].map(Self.pair).joined(separator: "L")
    body += "<path d=\"M\(places)Z\" fill=\"\(Self.hex(color))\"/>\n"
  }

  mutating func text(_ text: String, at place: Place, _ style: TextStyle) {
    body +=
      "<text x=\"\(Self.number(place.x))\" y=\"\(Self.number(place.y))\" font-size=\"\(Self.number(style.size))\""
    if style.isBold { body += " font-weight=\"bold\"" }
    switch style.anchor {
    case .leading: break
    case .center: body += " text-anchor=\"middle\""
    case .trailing: body += " text-anchor=\"end\""
    }
    body += " fill=\"\(Self.hex(style.color))\">\(Self.escaped(text))</text>\n"
  }

  // MARK: Text of the file

  /// At most two decimals, none that are zero.
  static func number(_ value: Double) -> String {
    var text = Numbers.fixed(value, digits: 2)
    while text.last == "0" { text.removeLast() }
    if text.last == "." { text.removeLast() }
    return text
  }

  private static func pair(_ place: Place) -> String { "\(number(place.x)) \(number(place.y))" }

  private static func hex(_ color: Color) -> String {
    let digits = [color.red, color.green, color.blue].map { channel in
      (channel < 16 ? "0" : "") + String(channel, radix: 16)
    }
    return "#" + digits.joined()
  }

  /// Text as XML's character data and attributes have it. What XML 1.0 (§2.2) has no place for is shown as U+FFFD.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0x26: result += "&amp;"
      case 0x3C: result += "&lt;"
      case 0x3E: result += "&gt;"
      case 0x22: result += "&quot;"
      case 0x27: result += "&#39;"
      case 0x09, 0x0A, 0x0D: result += " "
      case 0..<0x20, 0xFFFE, 0xFFFF: result += "\u{FFFD}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

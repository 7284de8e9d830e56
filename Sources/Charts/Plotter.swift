import Inspection

/// A place on the page, in units of 1/96 inch from its left and top edges.
package struct Place: Sendable, Hashable {
  package var x: Double
  package var y: Double

  package init(_ x: Double, _ y: Double) {
    (self.x, self.y) = (x, y)
  }
}

/// A rectangle of the page.
package struct Frame: Sendable, Hashable {
  package var left: Double
  package var top: Double
  package var width: Double
  package var height: Double

  package init(left: Double, top: Double, width: Double, height: Double) {
    (self.left, self.top, self.width, self.height) = (left, top, width, height)
  }

  package var right: Double { left + width }
  package var bottom: Double { top + height }
}

/// How a line is drawn.
package struct Stroke: Sendable, Hashable {
  package var color: Color
  package var width: Double
  /// 0 to 1.
  package var opacity: Double
  /// Lengths of dashes and gaps in turns; empty for a solid line.
  package var dash: [Double]

  package init(_ color: Color, width: Double = 1, opacity: Double = 1, dash: [Double] = []) {
    (self.color, self.width, self.opacity, self.dash) = (color, width, opacity, dash)
  }
}

/// How a text is set.
package struct TextStyle: Sendable, Hashable {
  package enum Anchor: Sendable { case leading, center, trailing }

  /// The em, in units of the page.
  package var size: Double
  package var isBold: Bool
  package var color: Color
  /// Where the text stands relative to its place.
  package var anchor: Anchor

  package init(size: Double = 10, isBold: Bool = false, _ color: Color, anchor: Anchor = .leading) {
    (self.size, self.isBold, self.color, self.anchor) = (size, isBold, color, anchor)
  }
}

/// What figures are drawn on: a vector file or a picture. Later shapes cover earlier ones.
package protocol Plotter {
  /// Room that a line of text takes, at most.
  func width(of text: String, _ style: TextStyle) -> Double

  /// A filled rectangle.
  mutating func fill(_ frame: Frame, _ color: Color)

  /// Straight lines from place to place.
  mutating func line(_ places: [Place], _ stroke: Stroke)

  /// A filled disc with an outline; a white one is a ring.
  mutating func disc(_ center: Place, radius: Double, fill: Color, outline: Color)

  /// A filled triangle.
  mutating func triangle(_ corners: (Place, Place, Place), _ color: Color)

  /// One line of text; `place` is on its baseline.
  mutating func text(_ text: String, at place: Place, _ style: TextStyle)
}

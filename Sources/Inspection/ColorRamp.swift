/// Colours for a fraction in `0...1`: dark violet, blue, green, yellow.
///
/// Lightness rises evenly with the value, so that equal steps look equal, also in greyscale and to most people who
/// see colours differently. Control points: nine of the Viridis map (S. van der Walt, N. Smith; CC0), straight lines
/// between them.
public enum ColorRamp {
  static let points: [Color] = [
    Color(0x440154), Color(0x472d7b), Color(0x3b528b), Color(0x2c728e), Color(0x21918c), Color(0x28ae80),
    Color(0x5ec962), Color(0xaddc30), Color(0xfde725),
  ]

  /// The colour of `fraction`; below 0 and above 1 the end's colour.
  public static func color(_ fraction: Double) -> Color {
    let place = min(max(fraction, 0), 1) * Double(points.count - 1)
    let lower = min(Int(place), points.count - 2)
    let share = place - Double(lower)
    func mix(_ channel: KeyPath<Color, UInt8>) -> UInt8 {
      let (from, to) = (Double(points[lower][keyPath: channel]), Double(points[lower + 1][keyPath: channel]))
      return UInt8((from + (to - from) * share).rounded())
    }
    return Color(red: mix(\.red), green: mix(\.green), blue: mix(\.blue))
  }
}

/// Letters for pictures, because libpng draws none.
///
/// A character is 5 pixels wide and 7 high with 2 more below the baseline; one blank column follows it. Characters
/// that the font doesn't have are drawn as a box.
public enum BitmapFont {
  /// Pixels from one character's left edge to the next one's, at scale 1.
  public static let advance = 6
  /// Pixels from the top of capitals to their baseline, at scale 1.
  public static let capHeight = 7
  /// Pixels from the top of capitals to the foot of letters that hang below, at scale 1.
  public static let height = 9

  static let width = 5
  static let characters: [Character] = (32...126).map { Character(UnicodeScalar($0)) } + ["×", "·", "≥"]

  /// Nine rows of five pixels; bit 4 of a row is its leftmost pixel.
  static let glyphs: [Character: [UInt8]] = {
    let perBlock = 16
    let lines = sheet.split(separator: "\n")
    var glyphs: [Character: [UInt8]] = [:]
    for (index, character) in characters.enumerated() {
      let firstLine = index / perBlock * height
      glyphs[character] = (0..<height).map { row in
        let drawing = lines[firstLine + row].split(separator: " ")[index % perBlock]
        return drawing.reduce(0) { $0 << 1 | ($1 == "#" ? 1 : 0) }
      }
    }
    return glyphs
  }()

  static let unknown: [UInt8] = [0b11111, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11111, 0, 0]

  /// Rows of `character`, top first; bit 4 is the leftmost of five pixels.
  static func rows(of character: Character) -> [UInt8] { glyphs[character] ?? unknown }

  /// Pixels that `text` is wide, the blank column after its last character not counted.
  public static func width(of text: String, scale: Int) -> Int {
    max(0, text.count * advance - 1) * scale
  }
}

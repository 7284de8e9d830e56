/// Widths of letters, so that legends can be laid out before a browser or printer has chosen a font.
enum TextWidth {
  /// Advance widths of DejaVu Sans in thousandths of an em, from the space to the tilde. It is the widest of the fonts that
  /// `SVGPlotter` asks for, so in another one a text takes less room than was left for it.
  private static let regular: [Double] = [
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636,
    636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656,
    557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635,
    550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592,
    525, 636,
    337, 636, 838,
  ]
  /// Bold letters are up to a fifth wider, most of them an eighth.
  private static let boldFactor = 1.15
  /// Other letters: as wide as an em.
  private static let unknown = 1000.0

  /// - Returns: the width in units of `size`'s.
  static func of(_ text: String, size: Double, isBold: Bool) -> Double {
    let thousandths = text.unicodeScalars.reduce(0.0) { sum, scalar in
      let index = Int(scalar.value) - 32
      return sum + (regular.indices.contains(index) ? regular[index] : unknown)
    }
    return thousandths / 1000 * size * (isBold ? boldFactor : 1)
  }
}

import Inspection

/// A whole number times a power of ten, so that labels have no digits of rounding.
struct Decimal {
  var mantissa: Int
  var exponent: Int

  /// The nearest double.
  static func value(_ mantissa: Int, _ exponent: Int) -> Double {
    // Read from text, because powers of ten below 1 are no doubles.
    Double("\(mantissa)e\(exponent)") ?? 0
  }

  var value: Double { Self.value(mantissa, exponent) }

  /// As a tick's label: `1,500`, `0.25`, `3e-4`.
  var label: String {
    let size = abs(value)
    return mantissa != 0 && (size < 1e-3 || size >= 1e7) ? scientific : plain
  }

  /// Labels in one manner.
  static func labels(_ decimals: [Decimal]) -> [String] {
    let largest = decimals.map { abs($0.value) }.max() ?? 0
    let digits = -(decimals.map(\.exponent).min() ?? 0)
    let isScientific = largest >= 1e7 || largest < 1e-2 && digits > 3 || digits > 9
    return decimals.map {
      isScientific && $0.mantissa != 0 ? $0.scientific : $0.mantissa == 0 ? "0" : $0.plain
    }
  }

  private var sign: String { mantissa < 0 ? "−" : "" }

  private var plain: String {
    guard exponent < 0 else {
      return sign + Numbers.grouped(abs(Int(value.rounded())))
    }
    let digits = String(mantissa.magnitude)
    let padded = String(repeating: "0", count: max(0, 1 - exponent - digits.count)) + digits
    return "\(sign)\(padded.dropLast(-exponent)).\(padded.suffix(-exponent))"
  }

  private var scientific: String {
    var digits = String(mantissa.magnitude)
    let power = exponent + digits.count - 1
    while digits.count > 1, digits.last == "0" { digits.removeLast() }
    let fraction = digits.dropFirst()
    return "\(sign)\(digits.prefix(1))\(fraction.isEmpty ? "" : ".\(fraction)")e\(power)"
  }
}

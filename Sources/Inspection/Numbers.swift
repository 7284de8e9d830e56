/// Numbers as pictures and tables show them.
public enum Numbers {
  /// `1234567` as `1,234,567`.
  public static func grouped(_ value: Int) -> String {
    let digits = String(value.magnitude)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return (value < 0 ? "-" : "") + text
  }

  /// A factor such as `3.94×`; `-` where it doesn't exist.
  public static func factor(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "-" }
    return fixed(value, digits: value < 9.995 ? 2 : 1) + "×"
  }

  /// `value` with exactly `digits` decimals, rounded half away from zero.
  public static func fixed(_ value: Double, digits: Int) -> String {
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    var scale = 1
    for _ in 0..<digits { scale *= 10 }
    let (whole, part) = Int((abs(value) * Double(scale)).rounded()).quotientAndRemainder(dividingBy: scale)
    let fraction = String(part)
    let decimals = String(repeating: "0", count: digits - min(digits, fraction.count)) + fraction
    let sign = value < 0 && (whole, part) != (0, 0) ? "-" : ""
    return digits == 0 ? "\(sign)\(whole)" : "\(sign)\(whole).\(decimals)"
  }

  /// A step of 1, 2 or 5 times a power of ten that cuts `span` into at most `parts`; at least 1.
  public static func tickStep(span: Int, parts: Int) -> Int {
    var step = 1
    while true {
      for factor in [1, 2, 5] where span <= step * factor * max(1, parts) { return step * factor }
      let (next, overflow) = step.multipliedReportingOverflow(by: 10)
      if overflow || next > span { return max(step * 10, 1) }
      step = next
    }
  }
}

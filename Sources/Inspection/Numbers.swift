/// Numbers as people read them.
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

extension Numbers {
  /// A size such as `3.25 MiB`, in powers of 1,024.
  public static func bytes(_ count: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    var value = Double(count)
    var unit = 0
    // 1,023.995 KiB would be printed as 1024.00 KiB.
    while abs(value) >= 1023.995, unit < units.count - 1 {
      value /= 1024
      unit += 1
    }
    return unit == 0 ? "\(count) B" : "\(fixed(value, digits: 2)) \(units[unit])"
  }

  /// A duration such as `2 h 05 min` or `41 s`.
  public static func duration(seconds: Int) -> String {
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let (minutes, rest) = seconds.quotientAndRemainder(dividingBy: 60)
    let (hours, restMinutes) = minutes.quotientAndRemainder(dividingBy: 60)
    if hours >= 48 { return "\(hours / 24) d \(two(hours % 24)) h" }
    if hours > 0 { return "\(hours) h \(two(restMinutes)) min" }
    if minutes > 0 { return "\(minutes) min \(two(rest)) s" }
    return "\(seconds) s"
  }

  /// A moment such as `2026-11-21 02:40:23 UTC`; `-` for 0. (Days to dates after H. Hinnant, "chrono-compatible
  /// low-level date algorithms".)
  public static func moment(unixSeconds: Int) -> String {
    guard unixSeconds != 0 else { return "-" }
    func padded(_ value: Int, _ digits: Int = 2) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
    let second = (unixSeconds % 86400 + 86400) % 86400
    let days = (unixSeconds - second) / 86400 + 719_468
    let era = (days >= 0 ? days : days - 146_096) / 146_097
    let dayOfEra = days - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shifted + 2) / 5 + 1
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return "\(padded(year, 4))-\(padded(month))-\(padded(day)) "
      + "\(padded(second / 3600)):\(padded(second / 60 % 60)):\(padded(second % 60)) UTC"
  }
}

import Foundation

/// Numbers as people read them.
public enum Units {
  private static let prefixes = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]

  /// Bytes with a binary prefix and three significant digits: `1.50 KiB`, `64.0 GiB`, `17 B`.
  public static func bytes(_ count: Int) -> String {
    var value = Double(count)
    var prefix = 0
    // 999.5 and above would need four digits.
    while abs(value) >= 999.5, prefix < prefixes.count - 1 {
      value /= 1024
      prefix += 1
    }
    return prefix == 0 ? "\(count) B" : "\(significant(value)) \(prefixes[prefix])"
  }

  /// An integer with its thousands marked: `1,000,000`.
  public static func count(_ value: Int) -> String {
    let digits = String(value.magnitude)
    var result = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { result.append(",") }
      result.append(digit)
    }
    return value < 0 ? "-" + result : result
  }

  /// A duration: `850 ms`, `12.3 s`, `3 m 05 s`, `2 h 07 m`.
  public static func seconds(_ value: Double) -> String {
    guard value.isFinite, value < 1e12 else { return "?" }
    if value < 0.9995 { return "\(Int((value * 1000).rounded())) ms" }
    if value < 59.95 { return String(format: "%.1f s", value) }
    let whole = Int(value.rounded())
    if whole < 3600 { return String(format: "%d m %02d s", whole / 60, whole % 60) }
    return String(format: "%d h %02d m", whole / 3600, whole % 3600 / 60)
  }

  /// A rate: `7,120 tokens/s`, `3.42 tokens/s`.
  public static func rate(_ perSecond: Double, _ unit: String) -> String {
    guard perSecond.isFinite, perSecond < 1e15 else { return "? \(unit)/s" }
    let number = perSecond < 999.5 ? significant(perSecond) : count(Int(perSecond.rounded()))
    return "\(number) \(unit)/s"
  }

  /// Three significant digits of a number below 1024.
  private static func significant(_ value: Double) -> String {
    let magnitude = abs(value)
    let decimals = magnitude < 9.995 ? 2 : magnitude < 99.95 ? 1 : 0
    return String(format: "%.\(decimals)f", value)
  }
}

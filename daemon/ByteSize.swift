import ArgumentParser

/// A number of bytes as people write it: `500MiB`, `64GiB`, `2TB`, `1048576`.
struct ByteSize: ExpressibleByArgument, Sendable, Hashable {
  let bytes: Int

  init(bytes: Int) { self.bytes = bytes }

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && $0.isNumber }
    let unit = argument[digits.endIndex...].drop { $0 == " " }
    guard let number = Int(digits), let factor = Self.factors[unit.lowercased()] else { return nil }
    let (bytes, overflow) = number.multipliedReportingOverflow(by: factor)
    guard !overflow else { return nil }
    self.bytes = bytes
  }

  private static let factors: [String: Int] = [
    "": 1, "b": 1,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
    "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
    "kb": 1000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
  ]
}

import ArgumentParser

/// How long a session may be unused: `30s`, `90m`, `24h`, `7d`, or `never`.
struct Age: ExpressibleByArgument, Sendable, Hashable {
  /// nil: for ever.
  let seconds: Int64?

  static let day = Age(seconds: 86_400)

  init(seconds: Int64?) { self.seconds = seconds }

  init?(argument: String) {
    if argument == "never" {
      seconds = nil
      return
    }
    guard let unit = argument.last, let factor = Self.factors[unit], let number = Int64(argument.dropLast()),
      number > 0
    else { return nil }
    let (seconds, overflow) = number.multipliedReportingOverflow(by: factor)
    guard !overflow else { return nil }
    self.seconds = seconds
  }

  private static let factors: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
}

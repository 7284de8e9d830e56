import Foundation

/// One line on a terminal's standard error that says how far a long piece of work is: done of total, rate, time left.
///
/// Nothing is written when standard error is not a terminal, or in the first two seconds.
public final class ProgressLine {
  private let total: Int
  private let unit: String
  private let first: Int
  private let isTerminal: Bool
  private let start = ContinuousClock.now
  private var lastDrawn: ContinuousClock.Instant?

  /// - Parameters:
  ///   - total: what `update` reaches in the end.
  ///   - unit: plural name of what is counted.
  ///   - first: what was there before, left out of the rate.
  public init(total: Int, unit: String, first: Int = 0, isTerminal: Bool = isatty(STDERR_FILENO) == 1) {
    self.total = total
    self.unit = unit
    self.first = first
    self.isTerminal = isTerminal
  }

  /// Redraws the line, at most ten times a second.
  public func update(_ done: Int) {
    guard isTerminal else { return }
    let now = ContinuousClock.now
    guard now - start > .seconds(2) else { return }
    if let lastDrawn, now - lastDrawn < .milliseconds(100) { return }
    lastDrawn = now
    let text = Self.text(done: done, total: total, first: first, unit: unit, elapsed: (now - start).inSeconds)
    Output.show("\r\u{1B}[2K" + text)
  }

  /// Removes the line.
  public func finish() {
    if lastDrawn != nil { Output.show("\r\u{1B}[2K") }
    lastDrawn = nil
  }

  /// Seconds since the line was made.
  public var elapsed: Double { (ContinuousClock.now - start).inSeconds }

  /// The line's text.
  public static func text(done: Int, total: Int, first: Int, unit: String, elapsed: Double) -> String {
    let rate = elapsed > 0 ? Double(done - first) / elapsed : 0
    let share = total > 0 ? done * 100 / total : 100
    var text = "\(Units.count(done)) of \(Units.count(total)) \(unit) (\(share)%), \(Units.rate(rate, unit))"
    if rate > 0, done < total { text += ", \(Units.seconds(Double(total - done) / rate)) left" }
    return text
  }
}

extension Duration {
  /// As a floating-point number.
  public var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}

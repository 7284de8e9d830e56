import Foundation
import ToolSupport

/// Tells people how far the experiment is: a line that is redrawn on a terminal, a line a minute elsewhere.
final class StatusLine {
  private let total: Int
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var last = ContinuousClock.now

  init(total: Int) { self.total = total }

  /// A line that stays.
  func say(_ text: String) { Output.show((isTerminal ? "\r\u{1B}[2K" : "") + text + "\n") }

  func update(done: Int, running: [String], secondsLeft: Double) {
    let now = ContinuousClock.now
    guard now - last >= (isTerminal ? .milliseconds(500) : .seconds(60)) else { return }
    last = now
    let text =
      "\(done) of \(total) stages, about \(Units.seconds(secondsLeft)) left; "
      + running.joined(separator: "; ")
    Output.show(isTerminal ? "\r\u{1B}[2K" + text.prefix(width) : text + "\n")
  }

  func finish() { if isTerminal { Output.show("\r\u{1B}[2K") } }

  /// Columns of the terminal, but one: a full line would break.
  private var width: Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 1 else { return 100 }
    return Int(size.ws_col) - 1
  }
}

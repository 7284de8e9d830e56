import Foundation
import LRSATraining
import RunRecord
import ToolSupport

/// Tells people how a run goes: one line that is redrawn on a terminal, a line now and then elsewhere.
final class Narrator {
  private let steps: Int
  private let isVerbose: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let start = ContinuousClock.now
  private var firstStep = 0
  private var last: StepRecord?
  private var lastLine: ContinuousClock.Instant?
  private var lastPhase = ""

  /// Seconds between lines where there is no terminal.
  private static let interval = 10.0

  init(steps: Int, isVerbose: Bool) {
    self.steps = steps
    self.isVerbose = isVerbose
  }

  func tell(_ event: TrainingEvent) {
    switch event {
    case .began(let step):
      firstStep = step
      if step > 0 { say("going on behind step \(Units.count(step)) of \(Units.count(steps))") }
    case .pass(let step, let documents, let progress):
      phase("\(progress.phase.rawValue) step \(step + 1) document \(documents)")
      draw(
        "\(progress.phase.rawValue) \(Units.count(progress.done)) of \(Units.count(progress.total)) tokens")
    case .optimizer(let step): phase("optimizer step \(step + 1)")
    case .checkpoint(let step): phase("checkpoint step \(step)")
    case .evaluating(let step, let documents):
      phase("evaluation step \(step) document \(documents)")
      draw("held-out document \(documents + 1)")
    case .step(let record):
      last = record
      if let why = record.skipped { say("step \(record.step) left out: \(why)") }
      if isTerminal || isVerbose { return draw("") }
      if let lastLine, (ContinuousClock.now - lastLine).inSeconds < Self.interval { return }
      lastLine = .now
      say(line)
    case .evaluation(let record):
      let bits = record.bitsPerByte.map { String(format: ", %.4f bits per byte", $0) } ?? ""
      let drift = record.keptSetDrift.map { String(format: ", kept sets %.1f%% changed", 100 * $0) } ?? ""
      say(
        "step \(record.step): held-out loss \(String(format: "%.4f", record.loss))\(bits)\(drift)"
          + (record.isBest ? ", the best so far" : ""))
    case .note(_, let text): say(text)
    }
  }

  func finish() { if isTerminal { Output.show("\r\u{1B}[2K") } }

  /// The last step and the time that is left.
  private var line: String {
    guard let last else { return "step 1 of \(Units.count(steps))" }
    let perStep = (ContinuousClock.now - start).inSeconds / Double(max(last.step - firstStep, 1))
    return
      "step \(Units.count(last.step)) of \(Units.count(steps)), loss \(String(format: "%.4f", last.loss)), "
      + "\(Units.rate(last.tokensPerSecond, "tokens")), \(Units.seconds(perStep * Double(steps - last.step))) left"
  }

  private func phase(_ text: String) {
    guard isVerbose, text != lastPhase else { return }
    lastPhase = text
    say(text)
  }

  private func draw(_ detail: String) {
    guard isTerminal, !isVerbose else { return }
    if let lastLine, (ContinuousClock.now - lastLine).inSeconds < 0.1 { return }
    lastLine = .now
    Output.show("\r\u{1B}[2K" + line + (detail.isEmpty ? "" : "; " + detail))
  }

  private func say(_ text: String) { Output.show((isTerminal ? "\r\u{1B}[2K" : "") + text + "\n") }
}

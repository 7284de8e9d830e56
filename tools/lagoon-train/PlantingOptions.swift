import ArgumentParser
import ModelToolSupport
import RecallTasks
import ToolSupport

/// Which text numbers are planted in, and how.
struct PlantingOptions: ParsableArguments {
  @Option(help: "The text, without digits: a file, or - for standard input.")
  var text: String?

  @Option(help: "Length of a document, in bytes for planted numbers, in tokens otherwise.")
  var length = 2048

  @Option(help: "Numbers of a document, such as 8 or 4...16.")
  var numbers = CountRange(4...16)

  @Option(help: "Digits of a number, 4...64; the first three are the question.")
  var digits = 8

  @Option(
    help: ArgumentHelp(
      "A question stands more than so many bytes behind its statement.",
      discussion:
        "Twice the lag (the default of eval; of plant, 128): then the statement has left the window."))
  var gap: Int?

  @Option(help: "Where questions stand: inline, or end for behind the text.")
  var ask = NumberPlanting.Place.inline

  @Option(help: "First byte of the text that may be used.")
  var fromByte: Int?

  @Option(help: "Byte of the text before which use ends.")
  var toByte: Int?

  @Option(
    help: "Share at the end of the text that is never drawn from, 0..<1; with --held-out, nothing else is.")
  var holdOut: Double?

  @Flag(help: "Draw from the share that --hold-out names only.")
  var heldOut = false

  func validate() throws {
    if let holdOut, !(0..<1).contains(holdOut) {
      throw ValidationError("--hold-out \(holdOut) is not in 0..<1.")
    }
    if heldOut, (holdOut ?? 0) <= 0 { throw ValidationError("--held-out needs --hold-out SHARE.") }
    if holdOut != nil, fromByte != nil || toByte != nil {
      throw ValidationError("--hold-out goes without --from-byte and --to-byte.")
    }
  }

  func planter(seed: UInt64, gap defaultGap: Int, plainShare: Double = 0) throws -> NumberPlanter {
    try NumberPlanter(
      NumberPlanting(
        length: length, numbers: numbers.range, digits: digits, gap: gap ?? defaultGap,
        plainShare: plainShare, asked: ask,
        seed: seed),
      text: try source())
  }

  /// The part of the text that may be used.
  func source() throws -> DigitFreeText {
    guard let text else { throw ToolError("there is no text to draw from: pass --text FILE") }
    let bytes = try Input.text(text)
    return try DigitFreeText(bytes, range: try range(bytes.count), name: text)
  }

  func range(_ count: Int) throws -> Range<Int> {
    if let holdOut {
      let split = DigitFreeText.split(bytes: count, holdOut: holdOut)
      return heldOut ? split.heldOut : split.training
    }
    let (first, end) = (fromByte ?? 0, toByte ?? count)
    guard first >= 0, first < end else { throw ToolError("bytes \(first)..<\(end) are none") }
    return first..<end
  }
}

/// A count, or a range of counts, such as `8` or `4...16`.
struct CountRange: ExpressibleByArgument {
  let range: ClosedRange<Int>

  init(_ range: ClosedRange<Int>) { self.range = range }

  init?(argument: String) {
    let parts = argument.split(separator: "...", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), let low = Int(parts[0]), let high = Int(parts[parts.count - 1]),
      low <= high
    else { return nil }
    range = low...high
  }

  var defaultValueDescription: String {
    range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)...\(range.upperBound)"
  }
}

extension NumberPlanting.Place: ExpressibleByArgument {}

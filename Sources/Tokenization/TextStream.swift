/// The text of generated tokens as it may be shown: whole characters only, up to the first stop string.
///
/// A pure state machine that knows no model. Bytes go in as tokens are generated (one token need not be a whole character) and
/// come out as soon as it is certain that they belong to the text before every stop string.
///
/// What is held back is always one of two things, so no text waits longer than it has to: the beginning of a character, or
/// a proper prefix of a stop string.
public struct TextStream: Sendable {
  /// What one call makes certain.
  public struct Step: Sendable, Hashable {
    /// Bytes to print now.
    public let text: [UInt8]
    /// Whether a stop string has been reached: no more text will come.
    public let stopped: Bool
  }

  /// Whether bytes that are not UTF-8 leave as U+FFFD instead of as they are.
  public let replacingInvalid: Bool
  /// Whether a stop string has been reached.
  public private(set) var stopped = false

  private let stopStrings: [[UInt8]]
  /// Bytes taken in and not yet given out. No stop string begins before them.
  private var held: [UInt8] = []

  /// - Parameters:
  ///   - stopStrings: compared byte by byte with the text, without normalisation. The text ends right before the occurrence
  ///     that begins first, wherever tokens are cut.
  ///   - replacingInvalid: whether bytes that can never become UTF-8 are replaced by U+FFFD, one per maximal subpart of an
  ///     ill-formed sequence, as Unicode recommends. Otherwise they are passed on as they are.
  /// - Throws: `invalidStopString` for an empty one, which would end every text at once.
  public init(stopStrings: [String] = [], replacingInvalid: Bool = false) throws(TokenizerError) {
    guard !stopStrings.contains(where: \.isEmpty) else {
      throw TokenizerError(
        .invalidStopString, "a stop string is empty; it would end every text before it begins")
    }
    self.stopStrings = stopStrings.map { Array($0.utf8) }
    self.replacingInvalid = replacingInvalid
  }

  /// The bytes taken in that cannot be given out yet.
  package var heldBytes: [UInt8] { held }

  /// Takes the bytes of the next token.
  ///
  /// - Complexity: O(bytes · total length of the stop strings) at worst, O(bytes) where their first bytes are rare.
  public mutating func append(_ bytes: [UInt8]) -> Step {
    if stopped { return Step(text: [], stopped: true) }
    held += bytes
    return Step(text: release(isEnd: false), stopped: stopped)
  }

  /// Ends the text and gives out what was held back, unless it turns out to be behind a stop string. Afterwards the stream
  /// is stopped.
  public mutating func finish() -> [UInt8] {
    if stopped { return [] }
    let text = release(isEnd: true)
    stopped = true
    held = []
    return text
  }

  /// Removes from `held` what is certain to be text and returns it as it is to be printed.
  private mutating func release(isEnd: Bool) -> [UInt8] {
    let search = findStop(isEnd: isEnd)
    var text: [UInt8] = []
    var at = 0
    // A stop string begins with a lead byte, so no character reaches over `search.offset`.
    while at < search.offset {
      switch UTF8Sequence(held, at: at, end: held.count) {
      case .complete(let length):
        text += held[at..<at + length]
        at += length
      case .invalid(let length):
        text += replacingInvalid ? Self.replacement : Array(held[at..<at + length])
        at += length
      case .incomplete where isEnd:
        text += replacingInvalid ? Self.replacement : Array(held[at..<search.offset])
        at = search.offset
      case .incomplete:
        held.removeFirst(at)
        return text
      }
    }
    stopped = search.isStop
    held = stopped ? [] : Array(held[at...])
    return text
  }

  /// Where the text before every stop string ends, as far as it is known: at a whole stop string (`isStop`), or at what may
  /// become one, or at the end.
  ///
  /// A beginning that is still undecided comes before a whole stop string that begins later: which of the two ends the text
  /// depends on the bytes to come.
  private func findStop(isEnd: Bool) -> (offset: Int, isStop: Bool) {
    for offset in held.indices {
      for stop in stopStrings where stop[0] == held[offset] {
        let rest = held[offset...]
        if rest.starts(with: stop) { return (offset, true) }
      }
      if !isEnd && stopStrings.contains(where: { $0[0] == held[offset] && $0.starts(with: held[offset...]) })
      {
        return (offset, false)
      }
    }
    return (held.count, false)
  }

  /// U+FFFD.
  private static let replacement: [UInt8] = [0xEF, 0xBF, 0xBD]
}

extension TokenizerError.Code {
  /// A stop string is empty.
  public static let invalidStopString = TokenizerError.Code(rawValue: "invalidStopString")
}

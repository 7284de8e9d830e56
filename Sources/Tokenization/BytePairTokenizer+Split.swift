import StrictJSON

extension BytePairTokenizer {
  /// Cuts a text by the pre-tokenizer's steps from `step` on, and appends the ids of the words.
  func split(_ text: Span<UInt8>, step: Int, begins: Bool, _ state: EncodingState) throws(TokenizerError) {
    guard !text.isEmpty else { return }
    guard step < preTokenizer.steps.count else { return try splitLast(text, begins: begins, state) }
    /// The text that is in no piece yet.
    var done = 0
    func piece(_ range: Range<Int>) throws(TokenizerError) {
      try split(text.extracting(range), step: step + 1, begins: begins || range.lowerBound > 0, state)
    }
    func match(_ range: Range<Int>, isKept: Bool) throws(TokenizerError) {
      if done < range.lowerBound { try piece(done..<range.lowerBound) }
      if isKept, !range.isEmpty { try piece(range) }
      done = range.upperBound
    }
    switch preTokenizer.steps[step] {
    case .pattern(let pattern), .removedPattern(let pattern):
      var isKept = false
      if case .pattern = preTokenizer.steps[step] { isKept = true }
      var matches = MatchIterator()
      while let range = try matches.next(of: pattern, in: text, state.matcher) {
        try match(range, isKept: isKept)
      }
    case .literal(let literal), .removedLiteral(let literal):
      var isKept = false
      if case .literal = preTokenizer.steps[step] { isKept = true }
      var at = 0
      while at + literal.count <= text.count {
        if (0..<literal.count).allSatisfy({ text[at + $0] == literal[$0] }) {
          try match(at..<at + literal.count, isKept: isKept)
          at += literal.count
        } else {
          at += 1
        }
      }
    case .digits(let isIndividual):
      var at = 0
      while at < text.count {
        let start = at
        while let digit = Self.digit(in: text, at: at) {
          at += digit
          if isIndividual { break }
        }
        if at > start {
          try match(start..<at, isKept: true)
        } else {
          at += 1
        }
      }
    }
    if done < text.count { try piece(done..<text.count) }
  }

  /// The byte-level step: the prefix space, and its pattern if it uses one.
  private func splitLast(_ text: Span<UInt8>, begins: Bool, _ state: EncodingState) throws(TokenizerError) {
    guard preTokenizer.addsPrefixSpace, begins, text[0] != UInt8(ascii: " ") else {
      return try splitWords(text, state)
    }
    var spaced: [UInt8] = [UInt8(ascii: " ")]
    spaced.reserveCapacity(text.count + 1)
    for at in text.indices { spaced.append(text[at]) }
    try splitWords(spaced.span, state)
  }

  private func splitWords(_ text: Span<UInt8>, _ state: EncodingState) throws(TokenizerError) {
    guard let pattern = preTokenizer.lastPattern else { return try appendWord(text, state) }
    var done = 0
    var matches = MatchIterator()
    while let range = try matches.next(of: pattern, in: text, state.matcher) {
      if done < range.lowerBound { try appendWord(text.extracting(done..<range.lowerBound), state) }
      if !range.isEmpty { try appendWord(text.extracting(range), state) }
      done = range.upperBound
    }
    if done < text.count { try appendWord(text.extracting(done..<text.count), state) }
  }

  /// The length of the numeric character (general category N) at `at`.
  private static func digit(in text: Span<UInt8>, at: Int) -> Int? {
    guard at < text.count, case let byte = text[at], byte & 0xC0 != 0x80 else { return nil }
    if byte < 0x80 { return (0x30...0x39).contains(byte) ? 1 : nil }
    guard let found = UTF8Scalar(in: text, at: at), let scalar = Unicode.Scalar(found.value) else {
      return nil
    }
    switch scalar.properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: return found.length
    default: return nil
    }
  }
}

/// Walks a pattern's matches. An empty match right after another match does not count.
private struct MatchIterator {
  private var from = 0
  private var lastEnd: Int?

  mutating func next(
    of pattern: SplitPattern, in text: Span<UInt8>, _ matcher: SplitPattern.Matcher
  ) throws(TokenizerError) -> Range<Int>? {
    while from <= text.count, let range = try matcher.firstMatch(of: pattern, in: text, from: from) {
      if range.isEmpty, range.upperBound == lastEnd {
        guard from < text.count else { return nil }
        from += UTF8Scalar(in: text, at: from)?.length ?? 1
        continue
      }
      from = range.upperBound
      lastEnd = range.upperBound
      return range
    }
    return nil
  }
}

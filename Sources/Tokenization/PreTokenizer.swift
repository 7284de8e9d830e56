/// How a text is cut into words before anything is merged (`pre_tokenizer` of a tokenizer file).
struct PreTokenizer: Sendable {
  enum Step: Sendable {
    /// Every match is a word, and what lies between two.
    case pattern(SplitPattern)
    /// The same for a fixed string.
    case literal([UInt8])
    /// What lies between matches is a word; matches are dropped.
    case removedPattern(SplitPattern)
    case removedLiteral([UInt8])
    /// Numeric characters, one by one or in runs.
    case digits(isIndividual: Bool)
  }

  /// GPT-2's pattern (Radford et al. 2019, `encoder.py`), which `ByteLevel` stands for.
  static let byteLevelPattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// Applied one within the other.
  var steps: [Step] = []
  /// Whether a word that does not begin with a space gets one, before the byte-level pattern.
  var addsPrefixSpace = false
  /// The byte-level pattern, applied last; nil when `use_regex` is false.
  var lastPattern: SplitPattern?
}

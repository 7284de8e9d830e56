import StrictJSON
import Synchronization

/// Byte-level byte-pair encoding, as GPT-2, Llama 3 and Qwen use it, read from a Hugging Face `tokenizer.json`.
///
/// What is supported and what is refused is in `docs/tokenizers.md`. The ids are those of the reference library
/// (huggingface/tokenizers), with these points decided here:
///
/// - Added tokens are recognised in any text, special ones too, as in the reference: text that comes from outside can hold them.
/// - Text need not be UTF-8. It is cut into well-formed stretches and runs of other bytes; each such run is one word.
/// - Without a normaliser, `decode` of a text's ids gives the text's bytes, less its special tokens. With NFC it gives the
///   normal form.
/// - A byte that the vocabulary has no token for is an error, never dropped.
public final class BytePairTokenizer: Tokenizer {
  public let vocabularySize: Int
  public var summary: String { "byte-level BPE, \(Self.grouped(vocabularySize)) tokens" }

  let normalizes: Bool
  let rawTokens: AddedTokenSearch
  let normalizedTokens: AddedTokenSearch
  let preTokenizer: PreTokenizer
  private let vocabulary: Vocabulary
  private let merges: MergeTable
  private let ignoresMerges: Bool
  /// The ids before and after a whole text.
  private let prefix: [UInt32]
  private let suffix: [UInt32]

  /// What no call uses at the moment, at most `maximumIdle`.
  private let idle = Mutex<[EncodingState]>([])
  private static let maximumIdle = 4

  /// Reads a `tokenizer.json`.
  ///
  /// - Throws: `io` when it cannot be read; `malformed` when it is not what the format says; `unsupported`, naming field and
  ///   value, for what is not supported; `byteFallback` when it is a SentencePiece tokenizer in this format.
  public convenience init(path: String) throws(TokenizerError) {
    try self.init(try FileBytes.read(path, atMost: TokenizerFile.maximumBytes), path: path)
  }

  /// The same from the file's bytes.
  public convenience init(_ bytes: [UInt8], path: String? = nil) throws(TokenizerError) {
    do throws(TokenizerError) {
      try self.init(try TokenizerFile(bytes))
    } catch {
      throw TokenizerError(error.code, error.message, path: path, name: error.name)
    }
  }

  init(_ file: consuming TokenizerFile) throws(TokenizerError) {
    vocabulary = file.vocabulary
    vocabularySize = file.vocabulary.size
    merges = file.merges
    ignoresMerges = file.ignoresMerges
    normalizes = file.normalizes
    preTokenizer = file.preTokenizer
    prefix = file.prefix
    suffix = file.suffix
    rawTokens = AddedTokenSearch(file.addedTokens.filter { !$0.isNormalized })
    var normalized = file.addedTokens.filter(\.isNormalized)
    if normalizes {
      var composition = CanonicalComposition()
      for index in normalized.indices {
        let content = normalized[index].content
        composition.normalize(content.span, into: &normalized[index].content)
      }
    }
    normalizedTokens = AddedTokenSearch(normalized)
  }

  public func encode(_ text: [UInt8], isBeginning: Bool) throws(TokenizerError) -> [UInt32] {
    let state = idle.withLock { $0.popLast() } ?? EncodingState()
    defer {
      idle.withLock { if $0.count < Self.maximumIdle { $0.append(state) } }
    }
    state.ids = isBeginning ? prefix : []
    state.ids.reserveCapacity(text.count / 4)
    state.matcher.allowWork(forBytes: text.count)
    try append(text.span, begins: isBeginning, state)
    if isBeginning { state.ids.append(contentsOf: suffix) }
    var ids: [UInt32] = []
    swap(&ids, &state.ids)
    return ids
  }

  public func bytes(of token: UInt32) -> [UInt8] { Array(vocabulary.bytes(of: token)) }

  public func decode(_ tokens: [UInt32]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(4 * tokens.count)
    for token in tokens { result.append(contentsOf: vocabulary.bytes(of: token)) }
    return result
  }

  /// Appends the ids of one word.
  func appendWord(_ word: Span<UInt8>, _ state: EncodingState) throws(TokenizerError) {
    let isCached = word.count <= WordCache.longestWord
    let hash = isCached ? WordCache.hash(word) : 0
    if isCached, state.cache.append(word, hash: hash, to: &state.ids) { return }
    let first = state.ids.count
    try appendNewWord(word, state)
    if isCached { state.cache.insert(word, hash: hash, state.ids[first...]) }
  }

  private func appendNewWord(_ word: Span<UInt8>, _ state: EncodingState) throws(TokenizerError) {
    if ignoresMerges, word.count <= vocabulary.longestToken {
      ByteAlphabet.string(of: word, into: &state.written)
      if let token = vocabulary.id(of: state.written.span) {
        state.ids.append(token)
        return
      }
    }
    state.symbols.removeAll(keepingCapacity: true)
    for at in word.indices {
      guard let token = vocabulary.bytes[Int(word[at])] else {
        throw TokenizerError(.invalidText, "the vocabulary has no token for the byte \(word[at])")
      }
      state.symbols.append(token)
    }
    state.merger.merge(state.symbols, with: merges, into: &state.ids)
  }

  private static func grouped(_ number: Int) -> String {
    var text = String(number)
    var at = text.count - 3
    while at > 0 {
      text.insert(",", at: text.index(text.startIndex, offsetBy: at))
      at -= 3
    }
    return text
  }
}

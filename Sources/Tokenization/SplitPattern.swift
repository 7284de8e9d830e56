import COniguruma

/// A compiled regular expression of Oniguruma, the engine that tokenizer files are written for (Ruby syntax, UTF-8).
///
/// This file is the only one that hands pointers to the library.
///
/// `@unchecked Sendable`: a compiled expression is not written to after `onig_new` (Oniguruma has kept no search state in it
/// since version 6.0); everything that a search changes lies in the ``Matcher``, which has one owner.
final class SplitPattern: @unchecked Sendable {
  /// Bytes of a pattern.
  static let maximumBytes = 64 << 10

  private static let isReady = lagoon_onig_initialize() == ONIG_NORMAL

  private let regex: OnigRegex

  /// - Throws: `unsupported`, saying what the library does not understand.
  init(_ pattern: String, name: String) throws(TokenizerError) {
    let bytes = Array(pattern.utf8)
    guard !bytes.isEmpty, bytes.count <= Self.maximumBytes else {
      throw TokenizerError(
        .unsupported, "a pattern of \(bytes.count) bytes; 1 to \(Self.maximumBytes) are supported", name: name
      )
    }
    guard Self.isReady else { throw TokenizerError(.io, "Oniguruma cannot be initialised") }
    var regex: OnigRegex?
    var message = [UInt8](repeating: 0, count: Int(ONIG_MAX_ERROR_MESSAGE_LEN))
    let status = lagoon_onig_new(&regex, bytes, bytes.count, &message)
    guard status == ONIG_NORMAL, let regex else {
      throw TokenizerError(
        .unsupported, "\"\(pattern.prefix(60))\" does not compile: \(Self.text(message))", name: name)
    }
    self.regex = regex
  }

  deinit { onig_free(regex) }

  private static func text(_ message: [UInt8]) -> String {
    String(decoding: message.prefix { $0 != 0 }, as: UTF8.self)
  }

  /// What searches write to. One thread at a time may use it.
  final class Matcher {
    /// Entries of the backtrack stack, some 40 bytes each.
    private static let stackLimit: UInt32 = 8 << 20
    /// Backtracks that a search may take for free.
    private static let freeRetries = 256

    private let region: UnsafeMutablePointer<OnigRegion>
    private let parameters: OpaquePointer
    /// Backtracks left for searches that take more than the free ones.
    private var budget = 0

    init() {
      guard let region = onig_region_new(), let parameters = onig_new_match_param() else {
        fatalError("out of memory")
      }
      onig_initialize_match_param(parameters)
      onig_set_match_stack_limit_size_of_match_param(parameters, Self.stackLimit)
      self.region = region
      self.parameters = parameters
    }

    deinit {
      onig_region_free(region, 1)
      onig_free_match_param(parameters)
    }

    /// Allows the work that patterns in use need, linear in the text, with room to spare.
    func allowWork(forBytes count: Int) { budget = 1 << 20 + 64 * count }

    /// The first match in `text[from...]`; nil when there is none. `text` must be well-formed UTF-8.
    ///
    /// A search begins with few backtracks; one that needs more is repeated with eight times as many, which is taken from the
    /// text's budget. So a pattern that backtracks without end fails in time that is linear in the text.
    ///
    /// - Throws: `invalidText` when the search exceeds its budget or the stack.
    func firstMatch(
      of pattern: SplitPattern, in text: Span<UInt8>, from: Int
    ) throws(TokenizerError) -> Range<Int>? {
      guard !text.isEmpty, from <= text.count else { return nil }
      guard text.count < Int(Int32.max) else {
        throw TokenizerError(.invalidText, "a text of \(text.count) bytes without a boundary; at most 2 GiB")
      }
      var retries = Self.freeRetries
      while true {
        // SAFETY: the library reads `text` within its bounds, during the call only.
        let status = text.withUnsafeBufferPointer {
          lagoon_onig_search(
            pattern.regex, $0.baseAddress, $0.count, from, region, parameters, UInt(retries))
        }
        if status >= 0 {
          // SAFETY: after a match the region holds at least the range of the whole match.
          return Int(region.pointee.beg[0])..<Int(region.pointee.end[0])
        }
        guard status != ONIG_MISMATCH else { return nil }
        guard status == ONIGERR_RETRY_LIMIT_IN_MATCH_OVER || status == ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER
        else { throw Self.failure(status) }
        budget -= retries
        retries *= 8
        guard retries <= budget else {
          throw TokenizerError(
            .invalidText, "the pre-tokenizer's pattern backtracks without end in this text")
        }
      }
    }

    private static func failure(_ status: Int32) -> TokenizerError {
      var message = [UInt8](repeating: 0, count: Int(ONIG_MAX_ERROR_MESSAGE_LEN))
      lagoon_onig_message(&message, status)
      return TokenizerError(.invalidText, "the pre-tokenizer's pattern fails: \(SplitPattern.text(message))")
    }
  }
}

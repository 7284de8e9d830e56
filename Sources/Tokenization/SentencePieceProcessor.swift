import CSentencePiece

/// A model loaded by the SentencePiece library. The only file of the module that touches its pointers.
///
/// `@unchecked Sendable`: the pointer is set once, in `init`, and freed in `deinit`, when no borrow is left. In between only
/// `const` functions of the library are called. They keep their state on the stack (`SentencePieceProcessor::Encode`,
/// `bpe::Model::SampleEncode` with no dropout, `unigram::Model::EncodeOptimized`, `Normalizer::Normalize`) and read the model,
/// which nothing changes after loading; the one table they share is a function's static constant (`PieceToByte`). Read in
/// version 0.1.97, and run from eight threads at once by a test.
struct SentencePieceProcessor: ~Copyable, @unchecked Sendable {
  /// What a piece is.
  enum Kind {
    case normal
    case unknown
    case control
    case unused
    case byte
  }

  private let handle: OpaquePointer

  /// - Parameters:
  ///   - model: a checked model. The library must not see other bytes.
  ///   - addsDummyPrefix: overrides the model's `add_dummy_prefix`.
  init(_ model: borrowing SentencePieceModel, addsDummyPrefix: Bool) throws(TokenizerError) {
    // Fields of a message that stands twice are merged, and the last value counts: `normalizer_spec { add_dummy_prefix }`.
    let bytes = model.serialized + [0x1A, 0x02, 0x18, addsDummyPrefix ? 1 : 0]
    var message = Message()
    let handle = bytes.withUnsafeBytes { bytes in
      // Sound: the library copies the bytes and writes at most `capacity` bytes of message.
      message.withBuffer { lagoon_sp_load(bytes.baseAddress, bytes.count, $0.baseAddress, $0.count) }
    }
    guard let handle else { throw TokenizerError(.malformed, "SentencePiece: \(message.text)") }
    self.handle = handle
  }

  deinit { lagoon_sp_free(handle) }

  /// Ids are `0..<vocabularySize`.
  var vocabularySize: Int { Int(lagoon_sp_vocabulary_size(handle)) }

  /// The ids of begin-of-text and end-of-text; nil where the model has none.
  var beginOfText: UInt32? { UInt32(exactly: lagoon_sp_bos(handle)) }
  var endOfText: UInt32? { UInt32(exactly: lagoon_sp_eos(handle)) }
  var unknown: UInt32? { UInt32(exactly: lagoon_sp_unknown(handle)) }

  /// The piece as the model spells it; empty for an id out of range.
  func piece(_ id: Int) -> [UInt8] {
    guard let id = Int32(exactly: id) else { return [] }
    var count = 0
    guard let start = lagoon_sp_piece(handle, id, &count) else { return [] }
    // Sound: the piece's string lives as long as the processor, which `self` keeps, and has `count` bytes.
    return [UInt8](UnsafeRawBufferPointer(start: start, count: count))
  }

  func kind(_ id: Int) -> Kind {
    guard let id = Int32(exactly: id) else { return .unused }
    switch lagoon_sp_piece_kind(handle, id) {
    case LAGOON_SP_NORMAL: return .normal
    case LAGOON_SP_UNKNOWN: return .unknown
    case LAGOON_SP_CONTROL: return .control
    case LAGOON_SP_BYTE: return .byte
    default: return .unused
    }
  }

  /// Appends the ids of a text of valid UTF-8.
  func encode(_ text: ArraySlice<UInt8>, into ids: inout [UInt32]) throws(TokenizerError) {
    var message = Message()
    var encoded: UnsafeMutablePointer<Int32>?
    var count = 0
    let result = text.withUnsafeBytes { text in
      // Sound: the text is read during the call only; the array that comes back is ours to free.
      message.withBuffer {
        lagoon_sp_encode(handle, text.baseAddress, text.count, &encoded, &count, $0.baseAddress, $0.count)
      }
    }
    defer { lagoon_sp_free_ids(encoded) }
    guard result == 0 else { throw TokenizerError(.invalidText, "SentencePiece: \(message.text)") }
    // Sound: `encoded` points at `count` integers until it is freed on return. Ids are never negative.
    ids += UnsafeBufferPointer(start: encoded, count: count).lazy.map { UInt32(bitPattern: $0) }
  }

  /// Room for an error message of the library.
  private struct Message {
    private var bytes = [CChar](repeating: 0, count: 256)

    mutating func withBuffer<Result>(_ body: (UnsafeMutableBufferPointer<CChar>) -> Result) -> Result {
      bytes.withUnsafeMutableBufferPointer { body($0) }
    }

    var text: String {
      String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
  }
}

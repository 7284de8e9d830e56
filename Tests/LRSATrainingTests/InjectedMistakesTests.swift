import LRSATraining
import LagKV
import LagoonClient
import Testing
import ToolSupport
import Transformer

/// The gradient test, and that it fails for each of the mistakes that are easily made in passes over chunks.
///
/// One masked pass over a whole document says what is right (`WholeModelTests` hold it to an independent implementation). The
/// same document in chunks is to give the same gradients; with a mistake it must not, by a factor of hundreds (of dozens for
/// rounding).
@Suite struct InjectedMistakesTests {
  private static let sinks = 4
  private static let lag = 16
  private let retention: RetentionParameters
  private let decoder: TrainableDecoder
  private let text: TrainingText

  init() throws {
    retention = try RetentionParameters(policy: .lagkv, sinks: Self.sinks, lag: Self.lag, ratio: 0.25)
    decoder = try TinyModel.load()
    // Three chunks in the middle predict nothing, others little, so that neither can be told from the whole by its mean.
    var text = TrainingText(TinyModel.text)
    for index in 96..<200 where index < 160 || index % 3 > 0 { text.targets[index] = nil }
    self.text = text
  }

  /// As the keys and values of the partitions come: sinks and one partition, then one each.
  private var aligned: [Range<Int>] { text.chunks(first: Self.sinks + Self.lag, then: Self.lag) }

  private func attention(
    _ type: ElementType = .float32, _ mistake: MaskedAttention.Mistake? = nil
  ) -> MaskedAttention {
    MaskedAttention(decoder.configuration, retention, type: type, mistake: mistake)
  }

  /// How far a document in chunks is from the masked pass over the whole of it.
  private func distance(
    _ chunks: [Range<Int>], _ type: ElementType = .float32, _ mistake: MaskedAttention.Mistake? = nil,
    loop: ChunkLoop.Mistake? = nil
  ) throws -> Distance {
    let whole = ChunkLoop(decoder: decoder, text: text, chunks: [0..<text.tokens.count])
    let expected = try whole.run(attention(type))
    let inChunks = ChunkLoop(decoder: decoder, text: text, chunks: chunks, mistake: loop)
    return try inChunks.run(attention(type, mistake)).distance(from: expected)
  }

  @Test(arguments: [false, true]) func chunksGiveTheMaskedPassesGradients(
    isRounded: Bool
  ) throws {
    for chunks in [
      aligned, text.chunks(first: Self.sinks + 2 * Self.lag, then: 2 * Self.lag),
      text.chunks(first: Self.lag, then: Self.lag), text.chunks(first: 7, then: 50),
    ] {
      let distance = try distance(chunks, isRounded ? .bfloat16 : .float32)
      #expect(distance.isWithinBounds, "\(distance)")
    }
  }

  /// The same test for what the product does. Where keys and values are rounded to bf16, a difference in the last bit of f32
  /// now and then tips one over to the next bf16: the bounds are wider.
  @Test(arguments: [false, true]) func theDaemonPassesTheTest(isRounded: Bool) throws {
    let dtype = isRounded ? ElementType.bfloat16 : .float32
    let whole = ChunkLoop(decoder: decoder, text: text, chunks: [0..<text.tokens.count])
    let expected = try whole.run(attention(dtype))
    let daemon = try TestDaemon(decoder.configuration, retention, dtype)
    for chunk in [17, 50, 1000] {
      let have = try daemon.withAttention(chunk: chunk) { attention in
        try LossAndGradients(decoder) {
          try BatchPass(decoder: decoder, chunk: chunk).run(
            [.init(tokens: text.tokens, targets: text.targets, attention: attention)], scale: text.scale)
        }
      }
      let distance = have.distance(from: expected)
      let isNear = distance.loss < 1e-5 && distance.norm < 1e-3 && distance.element < 3e-3
      #expect(isRounded ? isNear : distance.isWithinBounds, "chunks of \(chunk): \(distance)")
    }
  }

  /// 2L tokens a chunk, of which the later ones still see the window that the first one saw. With L tokens a chunk, aligned, that
  /// window is the right one.
  @Test func windowOfTheCallInChunksOfTwoPartitions() throws {
    let right = try distance(aligned, .float32, .windowOfTheCall)
    #expect(right.isWithinBounds, "\(right)")
    let chunks = text.chunks(first: Self.sinks + 2 * Self.lag, then: 2 * Self.lag)
    let wrong = try distance(chunks, .float32, .windowOfTheCall)
    #expect(!wrong.isWithinBounds && wrong.norm > 0.05, "\(wrong)")
  }

  /// L tokens a chunk, but from 0 instead of from the sinks' end.
  @Test func windowOfTheCallInUnalignedChunks() throws {
    let wrong = try distance(text.chunks(first: Self.lag, then: Self.lag), .float32, .windowOfTheCall)
    #expect(!wrong.isWithinBounds && wrong.norm > 0.05, "\(wrong)")
  }

  @Test func aMeanLossPerChunk() throws {
    let wrong = try distance(aligned, loop: .meanPerChunk)
    #expect(!wrong.isWithinBounds && wrong.norm > 0.5, "\(wrong)")
  }

  @Test func accumulatorsWithoutTheWindow() throws {
    let wrong = try distance(aligned, .float32, .noWindowGradients)
    #expect(!wrong.isWithinBounds && wrong.norm > 0.3, "\(wrong)")
  }

  /// Their tokens have gradients all the same: from later chunks that see them.
  @Test func chunksWithoutTargetsSkipped() throws {
    let wrong = try distance(aligned, .float32, .skippedCalls, loop: .chunksWithoutTargetsSkipped)
    #expect(!wrong.isWithinBounds && wrong.norm > 0.05, "\(wrong)")
  }

  @Test func theDaemonRefusesSkippedChunks() throws {
    let loop = ChunkLoop(
      decoder: decoder, text: text, chunks: aligned, mistake: .chunksWithoutTargetsSkipped)
    let daemon = try TestDaemon(decoder.configuration, retention, .float32)
    let error = #expect(throws: LagoonError.self) {
      try daemon.withAttention(chunk: Self.sinks + Self.lag) { _ = try loop.run($0) }
    }
    #expect(error?.code == .badOrder)
  }

  /// In a session of bf16 the newest rows are rounded like all others.
  @Test func ownRowsUnrounded() throws {
    let wrong = try distance(aligned, .bfloat16, .ownRowsUnrounded)
    #expect(!wrong.isWithinBounds && wrong.norm > 3e-3, "\(wrong)")
  }
}

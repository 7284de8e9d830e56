import Foundation
import Testing
import Transformer

/// Head and cross-entropy in tiles against the whole formula in f64.
@Suite struct TiledCrossEntropyTests {
  private static let (vocabulary, width, rows) = (131, 24, 45)

  private struct Head {
    let head: TiledCrossEntropy
    let weights: ParameterBuffer
    let gradients: ParameterBuffer

    init(tile: Int, _ compute: Compute = .float32) throws {
      let layout = ParameterLayout([("head", [vocabulary, width])])
      var noise = Noise(1)
      let values = noise.floats(layout.count)
      weights = ParameterBuffer(layout)
      gradients = ParameterBuffer(layout)
      weights.withElements { _ = $0.update(fromContentsOf: values) }
      head = TiledCrossEntropy(
        try MatmulBackend(compute), weights: weights, gradients: gradients, matrix: 0..<layout.count,
        vocabularySize: vocabulary, width: width, tile: tile)
    }

    func forward(_ input: [Float], _ targets: [UInt32?], scale: Double = 0.25) throws -> Double {
      try input.withUnsafeBufferPointer { try head.forward($0, targets: targets, scale: scale) }
    }

    /// - Returns: loss, and gradients of the input, beginning at 1, and of the head.
    func backward(
      _ input: [Float], _ targets: [UInt32?], scale: Double = 0.25
    ) throws -> (loss: Double, dInput: [Float], dHead: [Float]) {
      gradients.setToZero()
      var dInput = [Float](repeating: 1, count: input.count)
      let loss = try input.withUnsafeBufferPointer { input in
        try dInput.withUnsafeMutableBufferPointer {
          try head.backward(input, targets: targets, scale: scale, dInput: $0)
        }
      }
      return (loss, dInput, gradients["head"] ?? [])
    }
  }

  /// Every fifth row and the first have none.
  private static let (input, targets): ([Float], [UInt32?]) = {
    var noise = Noise(6)
    let input = noise.floats(rows * width).map { $0 * 3 }
    let targets = (0..<rows).map {
      $0 % 5 == 0 ? nil : UInt32((noise.next() + 1) / 2.001 * Float(vocabulary))
    }
    return (input, targets)
  }()

  /// The plain formula, logits whole.
  private static func reference(
    _ matrix: [Float]
  ) -> (loss: Double, dInput: [Double], dHead: [Double]) {
    var loss = 0.0
    var dInput = [Double](repeating: 1, count: rows * width)
    var dHead = [Double](repeating: 0, count: vocabulary * width)
    for (row, target) in targets.enumerated() {
      guard let target else { continue }
      let logits = (0..<vocabulary).map { token in
        (0..<width).reduce(0.0) { $0 + Double(input[row * width + $1]) * Double(matrix[token * width + $1]) }
      }
      let logSumExp = log(logits.reduce(0) { $0 + exp($1) })
      loss += 0.25 * (logSumExp - logits[Int(target)])
      for token in 0..<vocabulary {
        let gradient = 0.25 * (exp(logits[token] - logSumExp) - (token == Int(target) ? 1 : 0))
        for column in 0..<width {
          dInput[row * width + column] += gradient * Double(matrix[token * width + column])
          dHead[token * width + column] += gradient * Double(input[row * width + column])
        }
      }
    }
    return (loss, dInput, dHead)
  }

  @Test(arguments: [1, 16, 50, 130, 131, 4096]) func tilesAreTheWhole(_ tile: Int) throws {
    let head = try Head(tile: tile)
    let expected = Self.reference(try #require(head.weights["head"]))
    let given = try head.backward(Self.input, Self.targets)
    #expect(abs(given.loss - expected.loss) < 1e-5)
    #expect(try head.forward(Self.input, Self.targets) == given.loss)
    #expect(zip(given.dInput, expected.dInput).allSatisfy { abs(Double($0) - $1) < 5e-6 })
    #expect(zip(given.dHead, expected.dHead).allSatisfy { abs(Double($0) - $1) < 5e-6 })
    // Rows that predict nothing are left alone.
    for (row, target) in Self.targets.enumerated() where target == nil {
      #expect(given.dInput[row * Self.width..<(row + 1) * Self.width].allSatisfy { $0 == 1 })
    }
  }

  /// More rows than are computed together.
  @Test func blocksOfRowsAddUp() throws {
    let head = try Head(tile: 64)
    let times = 50
    let once = try head.backward(Self.input, Self.targets)
    let often = try head.backward(
      Array(repeatElement(Self.input, count: times).joined()),
      Array(repeatElement(Self.targets, count: times).joined()))
    #expect(Self.rows * times > 2048)
    #expect(abs(often.loss / Double(times) - once.loss) < 1e-6)
    #expect(relativeDistance(often.dHead, once.dHead.map { $0 * Float(times) }) < 1e-5)
    #expect(largestDifference(Array(often.dInput.suffix(once.dInput.count)), once.dInput) < 1e-5)
  }

  @Test func withoutTargetsNothingHappens() throws {
    let head = try Head(tile: 64)
    let given = try head.backward(Self.input, [UInt32?](repeating: nil, count: Self.rows))
    #expect(given.loss == 0)
    #expect(given.dInput.allSatisfy { $0 == 1 } && given.dHead.allSatisfy { $0 == 0 })
  }

  /// A peak far above the rest neither overflows nor loses the target.
  @Test func largeLogitsStayFinite() throws {
    let head = try Head(tile: 32)
    let given = try head.backward(Self.input.map { $0 * 1000 }, Self.targets)
    #expect(given.loss.isFinite && given.loss > 1000)
    #expect(given.dInput.allSatisfy(\.isFinite) && given.dHead.allSatisfy(\.isFinite))
  }

  @Test func brainFloatErrorIsBounded() throws {
    let exact = try Head(tile: 50).backward(Self.input, Self.targets)
    let rounded = try Head(tile: 50, .bfloat16).backward(Self.input, Self.targets)
    #expect(abs(rounded.loss / exact.loss - 1) < 0.01)
    for (given, expected) in [
      (rounded.dInput.map { $0 - 1 }, exact.dInput.map { $0 - 1 }), (rounded.dHead, exact.dHead),
    ] {
      let distance = relativeDistance(given, expected)
      #expect(distance > 1e-4 && distance < 0.03, "\(distance)")
    }
  }

  @Test func targetsOutsideOfTheVocabularyAreRefused() throws {
    let head = try Head(tile: 64)
    var targets = Self.targets
    targets[7] = UInt32(Self.vocabulary)
    let error = #expect(throws: ModelError.self) { try head.backward(Self.input, targets) }
    #expect(error?.message.contains("131") == true)
    #expect(try #require(head.gradients["head"]).allSatisfy { $0 == 0 })
  }
}

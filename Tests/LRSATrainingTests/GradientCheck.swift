import Foundation
import LRSATraining
import LagKV
import Testing
import ToolSupport
import Transformer

/// The repository's model, its text and what tests do with both.
enum TinyModel {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

  static func load() throws -> TrainableDecoder { try TrainableDecoder(folder: root + "/data/kjv-tiny") }

  /// Whether the package with the text that the model was trained on is there.
  static let hasBible = FileManager.default.isExecutableFile(atPath: "/usr/bin/bible")

  /// Bytes of that text, references removed.
  static func bible(_ range: Range<Int>) throws -> [UInt32] {
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/sh")
    shell.arguments = [
      "-c",
      "bible -f 'gen1:1-rev22:21' | sed -E 's/^[^ ]+ //' | tail -c +\(range.lowerBound + 1) | head -c \(range.count)",
    ]
    let output = Pipe()
    shell.standardOutput = output
    try shell.run()
    let text = try output.fileHandleForReading.readToEnd() ?? Data()
    shell.waitUntilExit()
    try #require(text.count == range.count)
    return text.map(UInt32.init)
  }

  /// 260 bytes like those.
  static let text: [UInt32] = Array(
    """
    In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness \
    was upon the face of the deep. And the Spirit of God moved upon the face of the waters. And God said, Let there \
    be light: and there was light. And God saw the light.
    """.utf8.prefix(260)
  ).map(UInt32.init)
}

/// A document in training.
struct TrainingText {
  var tokens: [UInt32]
  var targets: [UInt32?]

  /// Every token but the last predicts the next.
  init(_ tokens: [UInt32]) {
    self.tokens = tokens
    targets = tokens.dropFirst().map(Optional.some) + [nil]
  }

  var targetCount: Int { targets.count { $0 != nil } }
  var scale: Double { 1 / Double(targetCount) }

  /// Cuts it behind `first` tokens, then every `length`.
  func chunks(first: Int, then length: Int) -> [Range<Int>] {
    [0..<min(first, tokens.count)]
      + stride(from: first, to: tokens.count, by: length).map { $0..<min($0 + length, tokens.count) }
  }
}

/// A loss and every parameter's gradient.
struct LossAndGradients {
  var loss: Double
  var gradients: [String: [Float]]

  /// - Parameter loss: computes it and leaves its gradients in the decoder, which has none before.
  init(_ decoder: TrainableDecoder, _ loss: () throws -> Double) rethrows {
    decoder.gradients.setToZero()
    self.loss = try loss()
    gradients = [:]
    for tensor in decoder.gradients.layout.tensors { gradients[tensor.name] = decoder.gradients[tensor.name] }
  }

  /// How far from others it is.
  func distance(from other: LossAndGradients) -> Distance {
    var distance = Distance(loss: abs(loss - other.loss))
    for (name, expected) in other.gradients {
      var (square, difference, largest, apart) = (0.0, 0.0, 0.0, 0.0)
      for (a, b) in zip(gradients[name] ?? [], expected) {
        let (a, b) = (Double(a), Double(b))
        square += b * b
        difference += (a - b) * (a - b)
        largest = max(largest, abs(b))
        apart = (a - b).isNaN ? .infinity : max(apart, abs(a - b))
      }
      distance.norm = max(distance.norm, apart.isFinite ? (difference / square).squareRoot() : .infinity)
      distance.element = max(distance.element, apart / largest)
    }
    return distance
  }
}

/// Between the gradients of two passes.
struct Distance: CustomStringConvertible {
  var loss: Double
  /// Over all tensors, the largest L2 norm of the difference, relative to the expected tensor's.
  var norm = 0.0
  /// Over all tensors, the largest difference of an element, relative to the tensor's largest element.
  var element = 0.0

  /// The gradient test: the bounds of "the same gradients" in f32, for every tensor.
  var isWithinBounds: Bool { loss < 1e-5 && norm < 1e-4 && element < 1e-3 }

  var description: String { String(format: "loss %.1e, norm %.1e, element %.1e", loss, norm, element) }
}

/// The passes of `BatchPass` over one document, written out, in cuts of the test's choice, and with what can go wrong in them.
struct ChunkLoop {
  enum Mistake {
    /// The loss is a mean over each chunk's targets, and then over the chunks.
    case meanPerChunk
    /// What predicts nothing is left out on the way back.
    case chunksWithoutTargetsSkipped
  }

  let decoder: TrainableDecoder
  let text: TrainingText
  let chunks: [Range<Int>]
  var mistake: Mistake?

  func run(_ attention: some DocumentAttention) throws -> LossAndGradients {
    let all = chunks.map {
      TrainingChunk(
        text.tokens[$0], targets: text.targets[$0], startPosition: $0.lowerBound, attention: attention)
    }
    return try LossAndGradients(decoder) {
      for chunk in all {
        _ = try decoder.forward([chunk.withoutTargets])
        try attention.commit(chunk.tokens)
      }
      try attention.endForward()
      var saved = SavedActivations(decoder.configuration)
      var loss = 0.0
      let withTargets = all.count { chunk in chunk.targets.contains { $0 != nil } }
      for chunk in all.reversed() {
        let count = chunk.targets.count { $0 != nil }
        if mistake == .chunksWithoutTargetsSkipped, count == 0 { continue }
        let scale = mistake == .meanPerChunk ? 1 / Double(max(count, 1) * withTargets) : text.scale
        try decoder.forward([chunk], saving: &saved)
        loss += try decoder.backward([chunk], saved, scale: scale)
      }
      return loss
    }
  }
}

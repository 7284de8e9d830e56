import LagoonClient
import Transformer

/// Reads on behind a session's document, on an overlay that leaves the session as it is, to measure how well it is predicted.
public final class OverlayReader {
  /// Position of the next token.
  public private(set) var position: Int
  private let model: DecoderModel
  private let attention: DaemonAttention
  private let chunk: Int

  /// - Parameters:
  ///   - overlay: with room for all tokens that will be read.
  ///   - chunk: tokens of a forward pass.
  public init(model: DecoderModel, overlay: RemoteOverlay, chunk: Int = 256) {
    self.model = model
    self.chunk = chunk
    position = overlay.tokens
    attention = DaemonAttention(overlay, model.configuration)
  }

  /// Reads a text and measures how well each token but the first was predicted.
  /// - Returns: the sum of `-log p`, natural logarithm, over the predicted tokens.
  public func negativeLogLikelihood(of tokens: [UInt32]) throws -> Double {
    var sum = 0.0
    for start in stride(from: 0, to: tokens.count, by: chunk) {
      let range = start..<min(start + chunk, tokens.count)
      let logits = try model.forward(
        tokens[range], startPosition: position, attention: attention, logits: .all)
      position += range.count
      sum += CrossEntropy.negativeLogLikelihood(logits, chunk: range, of: tokens)
    }
    return sum
  }
}

extension CrossEntropy {
  /// How badly a chunk's logits predict the tokens that follow each of its own.
  ///
  /// - Parameters:
  ///   - logits: `[chunk.count, vocabulary]`.
  ///   - chunk: of `tokens`.
  /// - Returns: the sum of `-log p`, natural logarithm. The text's last token has no successor and adds nothing.
  public static func negativeLogLikelihood(_ logits: [Float], chunk: Range<Int>, of tokens: [UInt32])
    -> Double
  {
    let width = logits.count / max(1, chunk.count)
    var sum = 0.0
    for (row, position) in chunk.enumerated() where position + 1 < tokens.count {
      sum += negativeLogLikelihood(logits[row * width..<(row + 1) * width], target: tokens[position + 1])
    }
    return sum
  }
}

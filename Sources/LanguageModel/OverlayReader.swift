import LagoonClient
import Transformer

/// Reads on behind a session's document, on an overlay that leaves the session as it is: to ask, to continue, to measure.
public final class OverlayReader {
  /// Position of the next token.
  public private(set) var position: Int
  private let model: DecoderModel
  private let attention: DaemonAttention
  private let chunk: Int

  /// - Parameters:
  ///   - overlay: with room for all tokens that will be read and generated.
  ///   - chunk: tokens of a forward pass.
  public init(model: DecoderModel, overlay: RemoteOverlay, chunk: Int = 256) {
    self.model = model
    self.chunk = chunk
    position = overlay.tokens
    attention = DaemonAttention(overlay, model.configuration)
  }

  /// Reads tokens.
  /// - Parameter tokens: not empty.
  /// - Returns: logits of what follows the last one, `[vocabularySize]`.
  public func read(_ tokens: [UInt32]) throws -> [Float] {
    var logits: [Float] = []
    for start in stride(from: 0, to: tokens.count, by: chunk) {
      logits = try forward(tokens[start..<min(start + chunk, tokens.count)], .last)
    }
    return logits
  }

  /// Generates what follows, token by token.
  ///
  /// - Parameters:
  ///   - logits: of the first token, as ``read(_:)`` returned them.
  ///   - count: most tokens to generate.
  ///   - each: gets every generated token at once; what it throws ends the generation.
  /// - Returns: the generated tokens; fewer than `count` if the model ended the text.
  public func generate(
    from logits: [Float], count: Int, sampler: inout Sampler, _ each: (UInt32) throws -> Void = { _ in }
  ) throws -> [UInt32] {
    var logits = logits
    var generated: [UInt32] = []
    while generated.count < count {
      let token = sampler.next(logits)
      if model.configuration.endTokens.contains(token) { break }
      generated.append(token)
      try each(token)
      if generated.count < count { logits = try forward([token], .last) }
    }
    return generated
  }

  /// Reads a text and measures how well each token but the first was predicted.
  /// - Returns: the sum of `-log p`, natural logarithm, over the predicted tokens.
  public func negativeLogLikelihood(of tokens: [UInt32]) throws -> Double {
    var sum = 0.0
    for start in stride(from: 0, to: tokens.count, by: chunk) {
      let range = start..<min(start + chunk, tokens.count)
      let logits = try forward(tokens[range], .all)
      sum += CrossEntropy.negativeLogLikelihood(logits, chunk: range, of: tokens)
    }
    return sum
  }

  private func forward(_ tokens: some Collection<UInt32>, _ rows: LogitRows) throws -> [Float] {
    let logits = try model.forward(tokens, startPosition: position, attention: attention, logits: rows)
    position += tokens.count
    return logits
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

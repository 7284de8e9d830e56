import Foundation
import LagoonClient
import LanguageModel
import Tokenization
import Transformer

/// How well a model predicts texts under a retention policy, by position.
public struct BitsPerByteEvaluation {
  private let model: DecoderModel
  private let tokenizer: any Tokenizer
  private let connection: LagoonConnection
  private let chunk: Int

  /// - Parameter chunk: tokens of a forward pass.
  public init(
    model: DecoderModel, tokenizer: any Tokenizer, connection: LagoonConnection, chunk: Int = 256
  ) {
    precondition(chunk > 0)
    self.model = model
    self.tokenizer = tokenizer
    self.connection = connection
    self.chunk = chunk
  }

  /// Reads documents one after another, each into a session of its own, and measures every token but each first.
  ///
  /// - Parameters:
  ///   - documents: in tokens, at least two each.
  ///   - firstBucket: positions below it are one bucket; each following one is as wide as all before it.
  ///   - progress: gets the number of tokens that are done; what it throws ends the evaluation.
  public func run(
    _ documents: [[UInt32]], parameters: SessionParameters, firstBucket: Int = 128,
    progress: (Int) throws -> Void = { _ in }
  ) throws -> BitsPerByteResult {
    precondition(firstBucket > 0)
    guard !documents.isEmpty, documents.allSatisfy({ $0.count >= 2 }) else {
      throw EvaluationError("a document needs two tokens, to predict one")
    }
    let clock = ContinuousClock.now
    var buckets: [BitsPerByteResult.Bucket] = []
    var kept = KeptShares(layers: model.configuration.layers)
    var done = 0
    for tokens in documents {
      try connection.withScratchSession(parameters) { session in
        let reader = DocumentReader(model: model, session: session, chunk: chunk)
        try reader.read(tokens, logits: .all) { range, logits in
          add(range, logits, tokens, firstBucket, to: &buckets)
          try progress(done + range.upperBound)
        }
        try kept.add(session, reader.attention.squaredNorms)
      }
      done += tokens.count
    }
    return BitsPerByteResult(
      policy: parameters.policy.name, sinks: parameters.sinks, lag: parameters.lag, ratio: parameters.ratio,
      documents: documents.count, tokens: done, buckets: buckets, kept: kept.rows, layers: kept.shares,
      seconds: (ContinuousClock.now - clock) / .seconds(1))
  }

  private func add(
    _ range: Range<Int>, _ logits: [Float], _ tokens: [UInt32], _ first: Int,
    to buckets: inout [BitsPerByteResult.Bucket]
  ) {
    let width = model.configuration.vocabularySize
    for (row, position) in range.enumerated() where position + 1 < tokens.count {
      let target = tokens[position + 1]
      var index = 0
      while position + 1 >= first << index { index += 1 }
      while buckets.count <= index {
        let from = buckets.isEmpty ? 0 : first << (buckets.count - 1)
        buckets.append(.init(from: from, to: first << buckets.count))
      }
      buckets[index].nll += CrossEntropy.negativeLogLikelihood(
        logits[row * width..<(row + 1) * width], target: target)
      buckets[index].tokens += 1
      buckets[index].bytes += tokenizer.bytes(of: target).count
    }
  }
}

/// How well texts were predicted under one retention policy.
public struct BitsPerByteResult: Sendable, Hashable, Codable {
  /// Tokens at positions `from..<to` of all documents.
  public struct Bucket: Sendable, Hashable, Codable {
    public var from: Int
    public var to: Int
    public var tokens = 0
    public var bytes = 0
    /// Sum of `-log p`, natural logarithm.
    public var nll = 0.0

    init(from: Int, to: Int) {
      self.from = from
      self.to = to
    }

    public var bitsPerByte: Double { nll / log(2) / Double(max(1, bytes)) }
  }

  public var policy: String
  public var sinks: Int
  public var lag: Int
  public var ratio: Double
  public var documents: Int
  public var tokens: Int
  public var buckets: [Bucket]
  /// Rows at the documents' ends, windows included, of their tokens, over all layers.
  public var kept: Double
  public var layers: [LayerShare]
  public var seconds: Double

  public var bitsPerByte: Double {
    let bytes = buckets.reduce(0) { $0 + $1.bytes }
    return buckets.reduce(0.0) { $0 + $1.nll } / log(2) / Double(max(1, bytes))
  }
}

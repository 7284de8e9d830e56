/// Heads and scale of one attention call.
public struct AttentionShape: Sendable, Hashable {
  public let queryHeads: Int
  public let kvHeads: Int
  /// Channels of a head, `1...1024`.
  public let headDim: Int
  /// Logits are `scale * (q · k)`.
  public let scale: Float

  /// Query heads per KV head; query head `h` uses KV head `h / group`.
  public var group: Int { queryHeads / kvHeads }

  /// - Parameter scale: `1 / √headDim` if nil.
  /// - Throws: ``AttentionError`` unless heads are at least 1, `queryHeads` is a multiple of `kvHeads`, `headDim` is in
  ///   `1...1024` and the scale is finite.
  public init(
    queryHeads: Int, kvHeads: Int, headDim: Int, scale: Float? = nil
  ) throws(AttentionError) {
    guard kvHeads >= 1, queryHeads >= 1, queryHeads % kvHeads == 0 else {
      throw AttentionError(
        code: .heads,
        message: "\(queryHeads) query heads over \(kvHeads) KV heads; there must be a whole number to each")
    }
    guard (1...1024).contains(headDim) else {
      throw AttentionError(code: .headDim, message: "a head of \(headDim) channels; allowed are 1 to 1024")
    }
    let scale = scale ?? Float(1 / Double(headDim).squareRoot())
    guard scale.isFinite else {
      throw AttentionError(code: .scale, message: "a scale of \(scale); it must be finite")
    }
    self.queryHeads = queryHeads
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.scale = scale
  }
}

/// Why an ``AttentionShape`` could not be made.
public struct AttentionError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The field that is wrong. More codes may be added.
  public struct Code: Sendable, Hashable, CustomStringConvertible {
    public let description: String
    public static let heads = Code(description: "heads")
    public static let headDim = Code(description: "headDim")
    public static let scale = Code(description: "scale")
  }

  public let code: Code
  /// What was given and what is allowed.
  public let message: String
  public var description: String { "\(code): \(message)" }
}

import KVStore
import SparseAttention

/// Attention of one call.
struct Attended: Equatable {
  /// `[tokens, queryHeads, headDim]`
  var out: [Float] = []
  /// `[tokens, queryHeads]`
  var logSumExp: [Float] = []
  var tokens = 0

  static func + (a: Attended, b: Attended) -> Attended {
    Attended(out: a.out + b.out, logSumExp: a.logSumExp + b.logSumExp, tokens: b.tokens)
  }

  func maximumDifference(_ other: Attended) -> Float {
    guard out.count == other.out.count, logSumExp.count == other.logSumExp.count else { return .infinity }
    let a = zip(out, other.out).map { abs($0 - $1) }.max() ?? 0
    let b = zip(logSumExp, other.logSumExp).map { $0 == $1 ? 0 : abs($0 - $1) }.max() ?? 0
    return max(a, b)
  }

  /// Calls `body` with places for the results of `queries`.
  static func collect(
    _ queries: [Float], _ document: Document,
    _ body: (TensorView, MutableTensorView, LogSumExpView) throws -> Int
  ) rethrows -> Attended {
    let heads = document.queryHeads
    let tokens = queries.count / (heads * document.headDim)
    var result = Attended(
      out: [Float](repeating: .nan, count: queries.count),
      logSumExp: [Float](repeating: .nan, count: tokens * heads))
    result.tokens = try queries.view(tokens, heads, document.headDim) { view in
      try result.out.withUnsafeMutableBytes { out in
        try result.logSumExp.withUnsafeMutableBytes { lse in
          try body(
            view, .tokenMajor(out.baseAddress!, tokens: tokens, heads: heads, headDim: document.headDim),
            .tokenMajor(lse.baseAddress!, tokens: tokens, heads: heads))
        }
      }
    }
    return result
  }
}

extension StagedTail {
  func append(_ document: Document, _ tokens: Range<Int>, layers: Range<Int>? = nil) throws {
    for layer in layers ?? 0..<session.configuration.layers {
      try document.rows(.keys, layer: layer, tokens).view(tokens.count, document.kvHeads, document.headDim) {
        keys in
        try document.rows(.values, layer: layer, tokens).view(
          tokens.count, document.kvHeads, document.headDim
        ) {
          try append(layer: layer, keys: keys, values: $0)
        }
      }
    }
  }

  func step(_ document: Document, _ tokens: Range<Int>, layer: Int) throws -> Attended {
    try Attended.collect(document.rows(.queries, layer: layer, tokens), document) { queries, out, lse in
      try document.rows(.keys, layer: layer, tokens).view(tokens.count, document.kvHeads, document.headDim) {
        keys in
        try document.rows(.values, layer: layer, tokens).view(
          tokens.count, document.kvHeads, document.headDim
        ) {
          try step(layer: layer, queries: queries, keys: keys, values: $0, out: out, logSumExp: lse)
        }
      }
      return self.tokens[layer]
    }
  }

  func attend(_ document: Document, queries tokens: Range<Int>, layer: Int) throws -> Attended {
    try Attended.collect(document.rows(.queries, layer: layer, tokens), document) {
      try attend(layer: layer, queries: $0, out: $1, logSumExp: $2)
    }
  }
}

extension Session {
  func attend(
    _ document: Document, queries tokens: Range<Int>, layer: Int, ifTokens: Int? = nil
  ) throws -> Attended {
    try Attended.collect(document.rows(.queries, layer: layer, tokens), document) {
      try attend(layer: layer, queries: $0, ifTokens: ifTokens, out: $1, logSumExp: $2)
    }
  }

  /// Every row of a layer.
  func everything(_ layer: Int, maxBytes: Int = 1 << 30) throws -> FetchedRows {
    try fetch(layer: layer, firstRow: 0, rows: .max >> 1, maxBytes: maxBytes)
  }

  /// Appends tokens in the given cuts and commits after each `commitEvery` cuts.
  func ingest(_ document: Document, _ cuts: [Range<Int>], commitEvery: Int = 1, capacity: Int = 4096) throws {
    let account = StagingAccount(cap: 1 << 30)
    let tail = try begin(capacity: capacity, owner: account)
    var ids: [UInt32] = []
    for (i, cut) in cuts.enumerated() {
      try tail.append(document, cut)
      ids += document.ids(cut)
      if (i + 1) % commitEvery == 0 || i == cuts.count - 1 {
        try tail.commit(tokenIDs: ids, keepWriting: i < cuts.count - 1)
        ids = []
      }
    }
  }
}

import Glibc
import LagoonClient
import Testing

/// Seeded rows for a small session, and attention over them computed the slow way.
struct SyntheticText {
  let seed: UInt64
  var layers = 2
  var kvHeads = 2
  var queryHeads = 4
  var headDim = 16

  init(seed: UInt64) { self.seed = seed }

  func parameters(name: String, policy: PolicyKind = .full) -> SessionParameters {
    SessionParameters(
      name: name, layers: layers, kvHeads: kvHeads, headDim: headDim, elementType: .float32, policy: policy,
      sinks: 4,
      lag: 16, ratio: 0.25)
  }

  enum Kind: UInt64 {
    case keys = 1
    case values, queries
  }

  /// An element in -1..<1, the same whenever and in whatever order it is asked for.
  func element(_ kind: Kind, layer: Int, token: Int, head: Int, channel: Int) -> Float {
    var x = seed &* 0x9E37_79B9_7F4A_7C15 &+ kind.rawValue
    for part in [layer, token, head, channel] {
      x = (x ^ UInt64(part)) &* 0xBF58_476D_1CE4_E5B9
      x ^= x >> 29
    }
    return Float(Int32(truncatingIfNeeded: x >> 16)) / 2_147_483_648
  }

  /// `[tokens, heads, headDim]`
  func tensor(_ kind: Kind, layer: Int, tokens: Range<Int>) -> HostTensor {
    let heads = kind == .queries ? queryHeads : kvHeads
    var floats: [Float] = []
    floats.reserveCapacity(tokens.count * heads * headDim)
    for token in tokens {
      for head in 0..<heads {
        for channel in 0..<headDim {
          floats.append(element(kind, layer: layer, token: token, head: head, channel: channel))
        }
      }
    }
    return HostTensor(floats: floats, tokens: tokens.count, heads: heads, headDim: headDim)
  }

  func ids(_ tokens: Range<Int>) -> [UInt32] { tokens.map { UInt32(truncatingIfNeeded: seed) &+ UInt32($0) } }

  /// Attention of the query of `token` over the tokens `0...token`, in double precision.
  func causalAttention(layer: Int, token: Int) -> (out: [Double], logSumExp: [Double]) {
    var out: [Double] = []
    var sums: [Double] = []
    for head in 0..<queryHeads {
      let kvHead = head / (queryHeads / kvHeads)
      let logits = (0...token).map { other in
        (0..<headDim).reduce(0.0) { sum, channel in
          sum
            + Double(element(.queries, layer: layer, token: token, head: head, channel: channel))
            * Double(element(.keys, layer: layer, token: other, head: kvHead, channel: channel))
        } / Double(headDim).squareRoot()
      }
      let top = logits.max() ?? 0
      let weights = logits.map { exp($0 - top) }
      let total = weights.reduce(0, +)
      sums.append(top + log(total))
      for channel in 0..<headDim {
        out.append(
          (0...token).reduce(0.0) {
            $0 + weights[$1]
              * Double(element(.values, layer: layer, token: $1, head: kvHead, channel: channel))
          } / total)
      }
    }
    return (out, sums)
  }

  /// Writes `tokens` tokens in chunks of 7, checks every output against ``causalAttention(layer:token:)``, commits each
  /// chunk, and checks what is stored.
  func expectRightAnswers(
    _ session: RemoteSession, tokens: Int, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    try session.begin(capacity: 7)
    for start in stride(from: 0, to: tokens, by: 7) {
      let chunk = start..<min(start + 7, tokens)
      for layer in 0..<layers {
        let result = try session.step(
          layer: layer, queries: tensor(.queries, layer: layer, tokens: chunk),
          keys: tensor(.keys, layer: layer, tokens: chunk),
          values: tensor(.values, layer: layer, tokens: chunk))
        try expect(result, layer: layer, tokens: chunk, sourceLocation: sourceLocation)
      }
      try session.commit(tokenIDs: ids(chunk), keepWriting: chunk.upperBound < tokens)
    }
    #expect(session.info.tokens == tokens, sourceLocation: sourceLocation)
    #expect(
      session.info.tokenHash == TokenHash.extend(TokenHash.empty, with: ids(0..<tokens)),
      sourceLocation: sourceLocation)
    let last = tokens - 1
    let result = try session.attend(
      layer: 0, queries: tensor(.queries, layer: 0, tokens: last..<tokens), ifTokens: tokens)
    try expect(result, layer: 0, tokens: last..<tokens, sourceLocation: sourceLocation)
  }

  func expect(
    _ result: Attention, layer: Int, tokens: Range<Int>, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    try #require(result.out.count == tokens.count * queryHeads * headDim, sourceLocation: sourceLocation)
    for (row, token) in tokens.enumerated() {
      let expected = causalAttention(layer: layer, token: token)
      let width = queryHeads * headDim
      let worst =
        zip(result.out[row * width..<(row + 1) * width], expected.out).map { abs(Double($0) - $1) }.max() ?? 1
      #expect(worst < 5e-6, "layer \(layer), token \(token)", sourceLocation: sourceLocation)
      let sums = zip(result.logSumExp[row * queryHeads..<(row + 1) * queryHeads], expected.logSumExp)
      #expect(sums.allSatisfy { abs(Double($0) - $1) < 5e-6 }, sourceLocation: sourceLocation)
    }
  }
}

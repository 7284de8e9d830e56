import LagoonClient

/// What a layer keeps of its documents, as shares.
public struct LayerShare: Sendable, Hashable, Codable {
  public var layer: Int
  /// Rows per head at a document's end, window included, of its tokens: the share of its bytes.
  public var rows: Double
  /// Of the summed squared L2 norm of the document's value vectors, the part that belongs to those rows.
  public var valueNorm: Double
  /// Of the tokens that hold what is asked for, those still there, per head, when it is asked; nil where a token is no run of
  /// the text's bytes.
  public var evidence: Double?

  enum CodingKeys: String, CodingKey {
    case layer, rows, evidence
    case valueNorm = "value_norm"
  }
}

/// Adds up what each layer keeps.
struct KeptShares {
  private struct Sums {
    var rows = 0
    var tokens = 0
    var keptNorm = 0.0
    var norm = 0.0
    var evidenceKept = 0
    var evidence = 0
  }

  private var layers: [Sums]

  init(layers: Int) { self.layers = [Sums](repeating: Sums(), count: layers) }

  /// Rows that were there at the documents' ends, of their tokens, over all layers.
  var rows: Double {
    let (rows, tokens) = layers.reduce((0, 0)) { ($0.0 + $1.rows, $0.1 + $1.tokens) }
    return tokens > 0 ? Double(rows) / Double(tokens) : 1
  }

  /// Looks at a document that has been read to its end.
  mutating func add(_ session: RemoteSession, _ squaredNorms: [[Float]]) throws(LagoonError) {
    for layer in layers.indices {
      let kept = try session.fetch(layer: layer, positionsOnly: true)
      let norms = squaredNorms[layer]
      for head in 0..<kept.kvHeads {
        for position in kept.positions(head: head) {
          layers[layer].keptNorm += Double(norms[Int(position) * kept.kvHeads + head])
        }
      }
      layers[layer].norm += norms.reduce(0.0) { $0 + Double($1) }
      layers[layer].rows += kept.totalRows
      layers[layer].tokens += kept.tokens
    }
  }

  /// Looks for tokens of a document that is read so far.
  mutating func addEvidence(_ tokens: [Int], _ session: RemoteSession) throws(LagoonError) {
    for layer in layers.indices {
      let kept = try session.fetch(layer: layer, positionsOnly: true)
      for head in 0..<kept.kvHeads {
        let positions = kept.positions(head: head)
        layers[layer].evidenceKept += tokens.count { contains(positions, UInt32($0)) }
        layers[layer].evidence += tokens.count
      }
    }
  }

  /// Whether ascending positions hold one.
  private func contains(_ positions: ArraySlice<UInt32>, _ position: UInt32) -> Bool {
    var (low, high) = (positions.startIndex, positions.endIndex)
    while low < high {
      let middle = low + (high - low) / 2
      if positions[middle] < position { low = middle + 1 } else { high = middle }
    }
    return low < positions.endIndex && positions[low] == position
  }

  var shares: [LayerShare] {
    layers.enumerated().map { index, sums in
      LayerShare(
        layer: index, rows: sums.tokens > 0 ? Double(sums.rows) / Double(sums.tokens) : 1,
        valueNorm: sums.norm > 0 ? sums.keptNorm / sums.norm : 1,
        evidence: sums.evidence > 0 ? Double(sums.evidenceKept) / Double(sums.evidence) : nil)
    }
  }
}

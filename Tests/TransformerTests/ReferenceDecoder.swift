import Foundation
import Transformer

/// A decoder's loss in f64, one scalar formula after the other: what finite differences are taken of. It shares no code with the
/// product but the rotary frequencies, which are checked elsewhere.
struct ReferenceDecoder {
  typealias Rows = [[Double]]

  let configuration: ModelConfiguration
  var weights: [String: [Double]]

  init(_ decoder: TrainableDecoder) {
    configuration = decoder.configuration
    weights = [:]
    for tensor in decoder.weights.layout.tensors {
      weights[tensor.name] = decoder.weights[tensor.name]?.map(Double.init)
    }
  }

  /// Mean cross-entropy of the targets.
  func loss(_ tokens: [UInt32], targets: [UInt32?]) -> Double {
    let c = configuration
    let matrix = weights["model.embed_tokens.weight"] ?? []
    var hidden = tokens.map { Array(matrix[Int($0) * c.hiddenSize..<(Int($0) + 1) * c.hiddenSize]) }
    for layer in 0..<c.layers {
      let prefix = "model.layers.\(layer)."
      let normed = norm(hidden, prefix + "input_layernorm")
      var queries = linear(normed, prefix + "self_attn.q_proj").map { heads($0) }
      var keys = linear(normed, prefix + "self_attn.k_proj").map { heads($0) }
      let values = linear(normed, prefix + "self_attn.v_proj").map { heads($0) }
      if c.queryKeyNorm {
        queries = queries.map { norm($0, prefix + "self_attn.q_norm") }
        keys = keys.map { norm($0, prefix + "self_attn.k_norm") }
      }
      queries = queries.enumerated().map { position, heads in heads.map { rotate($0, position) } }
      keys = keys.enumerated().map { position, heads in heads.map { rotate($0, position) } }
      hidden = add(
        hidden, linear(attention(queries, keys, values), prefix + "self_attn.o_proj"))
      let mlpInput = norm(hidden, prefix + "post_attention_layernorm")
      let gate = linear(mlpInput, prefix + "mlp.gate_proj")
      let up = linear(mlpInput, prefix + "mlp.up_proj")
      let activated = zip(gate, up).map { zip($0, $1).map { $0 / (1 + exp(-$0)) * $1 } }
      hidden = add(hidden, linear(activated, prefix + "mlp.down_proj"))
    }
    let logits = linear(norm(hidden, "model.norm"), c.tiedHead ? "model.embed_tokens" : "lm_head")
    var sum = 0.0
    for (row, target) in zip(logits, targets) {
      guard let target else { continue }
      let peak = row.max() ?? 0
      sum += peak + log(row.reduce(0) { $0 + exp($1 - peak) }) - row[Int(target)]
    }
    return sum / Double(targets.count { $0 != nil })
  }

  private func heads(_ row: [Double]) -> Rows {
    stride(from: 0, to: row.count, by: configuration.headDim).map {
      Array(row[$0..<$0 + configuration.headDim])
    }
  }

  private func norm(_ rows: Rows, _ name: String) -> Rows {
    let weight = weights[name + ".weight"] ?? []
    return rows.map { row in
      let mean = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
      let scale = 1 / (mean + Double(Float(configuration.normEpsilon))).squareRoot()
      return zip(row, weight).map { $0 * scale * $1 }
    }
  }

  private func linear(_ rows: Rows, _ name: String) -> Rows {
    let weight = weights[name + ".weight"] ?? []
    let bias = weights[name + ".bias"]
    return rows.map { row in
      (0..<weight.count / row.count).map { output in
        var sum = bias?[output] ?? 0
        for input in row.indices { sum += row[input] * weight[output * row.count + input] }
        return sum
      }
    }
  }

  private func rotate(_ head: [Double], _ position: Int) -> [Double] {
    let half = head.count / 2
    let frequencies = configuration.rope.frequencies(headDim: head.count)
    let amplitude = configuration.rope.attentionFactor
    return head.indices.map { channel in
      let angle = Double(position) * frequencies[channel % half]
      let partner = channel < half ? -head[channel + half] : head[channel - half]
      return amplitude * (head[channel] * cos(angle) + partner * sin(angle))
    }
  }

  private func attention(_ queries: [Rows], _ keys: [Rows], _ values: [Rows]) -> Rows {
    let group = configuration.queryHeads / configuration.kvHeads
    return queries.indices.map { token in
      queries[token].indices.flatMap { head -> [Double] in
        let query = queries[token][head]
        let scores = (0...token).map { row in
          zip(query, keys[row][head / group]).reduce(0) { $0 + $1.0 * $1.1 }
            / Double(query.count).squareRoot()
        }
        let peak = scores.max() ?? 0
        let total = scores.reduce(0) { $0 + exp($1 - peak) }
        return query.indices.map { channel in
          scores.indices.reduce(0) {
            $0 + exp(scores[$1] - peak) / total * values[$1][head / group][channel]
          }
        }
      }
    }
  }

  private func add(_ left: Rows, _ right: Rows) -> Rows {
    zip(left, right).map { zip($0, $1).map { $0 + $1 } }
  }
}

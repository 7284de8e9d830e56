import Foundation
import Kernels

/// Rotary position embedding in the convention of Hugging Face: channel `i` turns with channel `i + headDim/2`.
///
/// Angles are computed in f64: at position 262,143 an f32 angle is 0.012 rad off.
package struct RotaryEmbedding {
  let headDim: Int
  /// Radians per position of each channel pair, `[headDim / 2]`.
  let frequencies: [Double]
  /// Factor of every cosine and sine.
  let amplitude: Double

  /// - Parameter rounding: of the frequencies, after scaling.
  package init(_ parameters: RotaryParameters, headDim: Int, rounding: FrequencyRounding = .exact) {
    self.headDim = headDim
    frequencies = parameters.frequencies(headDim: headDim).map(rounding.callAsFunction)
    amplitude = parameters.attentionFactor
  }

  /// Cosines and sines of a run of positions, `[positions, headDim / 2]` each, f32.
  package struct Table: Sendable {
    var cosines: [Float] = []
    var sines: [Float] = []
    var rows = 0

    package init() {}
  }

  /// Adds the rows of these positions to a table.
  package func append(positions: Range<Int>, to table: inout Table) {
    table.cosines.reserveCapacity(table.cosines.count + positions.count * frequencies.count)
    table.sines.reserveCapacity(table.sines.count + positions.count * frequencies.count)
    for position in positions {
      for frequency in frequencies {
        let angle = Double(position) * frequency
        table.cosines.append(Float(cos(angle) * amplitude))
        table.sines.append(Float(sin(angle) * amplitude))
      }
    }
    table.rows += positions.count
  }

  /// Turns every head of every row in place.
  ///
  /// - Parameter rows: `[table.rows, heads, headDim]`, row-major.
  package func forward(_ rows: UnsafeMutableBufferPointer<Float>, heads: Int, table: Table) {
    turn(rows, heads: heads, table: table, sign: 1)
  }

  /// Turns gradients of turned rows in place into those of the rows before: the transpose, so that the angle changes its sign
  /// and a yarn amplitude stays a factor.
  ///
  /// - Parameter rows: `[table.rows, heads, headDim]`, row-major.
  package func backward(_ rows: UnsafeMutableBufferPointer<Float>, heads: Int, table: Table) {
    turn(rows, heads: heads, table: table, sign: -1)
  }

  /// - Parameter sign: of the sines, 1 or -1; multiplying by it is exact.
  private func turn(_ rows: UnsafeMutableBufferPointer<Float>, heads: Int, table: Table, sign: Float) {
    let (pairs, width) = (headDim / 2, heads * headDim)
    precondition(rows.count == table.rows * width)
    table.cosines.withUnsafeBufferPointer { cosines in
      table.sines.withUnsafeBufferPointer { sines in
        Team.split(rows: table.rows, of: width) {
          for row in $0 {
            let own = row..<row + 1
            lagoon_rotate(
              rows.rows(own, of: width).baseAddress, heads, pairs, cosines.rows(own, of: pairs).baseAddress,
              sines.rows(own, of: pairs).baseAddress, sign)
          }
        }
      }
    }
  }
}

/// To what rotary frequencies are rounded before use.
///
/// Exact is right for trained checkpoints: their programs keep the frequencies apart from the weights. Programs that convert
/// a whole module to a narrow type, buffers included, round the frequencies with it; figures made that way are met only with
/// the same rounding.
public enum FrequencyRounding: String, Sendable, CaseIterable {
  /// f64, unrounded.
  case exact
  case bfloat16 = "bf16"
  case float16 = "f16"

  func callAsFunction(_ frequency: Double) -> Double {
    switch self {
    case .exact: frequency
    case .bfloat16: Double(BFloat16.round(Float(frequency)))
    case .float16: Double(Float16(frequency))
    }
  }
}

import Foundation

/// Rotary position embedding in the convention of Hugging Face: channel `i` turns with channel `i + headDim/2`.
///
/// Angles are computed in f64: at position 262,143 an f32 angle is 0.012 rad off.
package struct RotaryEmbedding {
  let headDim: Int
  /// Radians per position of each channel pair, `[headDim / 2]`.
  let frequencies: [Double]

  package init(_ parameters: RotaryParameters, headDim: Int) {
    self.headDim = headDim
    frequencies = (0..<headDim / 2).map { pow(parameters.theta, -2 * Double($0) / Double(headDim)) }
  }

  /// Cosines and sines of a run of positions, `[positions, headDim / 2]` each, f32.
  package struct Table {
    let cosines: [Float]
    let sines: [Float]
    let rows: Int
  }

  package func table(positions: Range<Int>) -> Table {
    var cosines: [Float] = []
    var sines: [Float] = []
    cosines.reserveCapacity(positions.count * frequencies.count)
    sines.reserveCapacity(positions.count * frequencies.count)
    for position in positions {
      for frequency in frequencies {
        let angle = Double(position) * frequency
        cosines.append(Float(cos(angle)))
        sines.append(Float(sin(angle)))
      }
    }
    return Table(cosines: cosines, sines: sines, rows: positions.count)
  }

  /// Turns every head of every row in place.
  ///
  /// - Parameter rows: `[table.rows, heads, headDim]`, row-major.
  package func forward(_ rows: UnsafeMutableBufferPointer<Float>, heads: Int, table: Table) {
    let half = headDim / 2
    precondition(rows.count == table.rows * heads * headDim)
    table.cosines.withUnsafeBufferPointer { cosines in
      table.sines.withUnsafeBufferPointer { sines in
        for row in 0..<table.rows {
          for head in 0..<heads {
            let base = (row * heads + head) * headDim
            for pair in 0..<half {
              let cosine = cosines[row * half + pair]
              let sine = sines[row * half + pair]
              let first = rows[base + pair]
              let second = rows[base + pair + half]
              rows[base + pair] = first * cosine - second * sine
              rows[base + pair + half] = second * cosine + first * sine
            }
          }
        }
      }
    }
  }
}

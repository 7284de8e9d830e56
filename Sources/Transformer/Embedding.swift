import Kernels
import Safetensors

/// The embedding matrix, `[vocabulary, width]`: rows are read from the mapped checkpoint, converted as they are used.
struct Embedding {
  let matrix: TensorSlice
  let width: Int

  var vocabularySize: Int { matrix.shape[0] }

  /// Writes the row of each token: `output` is `[tokens.count, width]`.
  ///
  /// - Throws: `invalidArgument` for an id outside of the vocabulary.
  func forward(_ tokens: some Collection<UInt32>, into output: UnsafeMutableBufferPointer<Float>)
    throws(ModelError)
  {
    for (row, token) in tokens.enumerated() {
      guard token < vocabularySize else {
        throw ModelError(
          .invalidArgument, "token id \(token) is outside of the vocabulary of \(vocabularySize)")
      }
      matrix.copyFloats(
        from: Int(token) * width,
        into: UnsafeMutableBufferPointer(rebasing: output[row * width..<(row + 1) * width]))
    }
  }
}

/// The embedding matrix of a decoder in training.
struct TrainableEmbedding {
  let weights: ParameterBuffer
  let gradients: ParameterBuffer
  /// `[vocabulary, width]`.
  let matrix: ParameterLayout.Tensor

  private var vocabularySize: Int { matrix.shape[0] }
  private var width: Int { matrix.shape[1] }

  /// Writes the row of each token: `output` is `[tokens.count, width]`.
  ///
  /// - Throws: `invalidArgument` for an id outside of the vocabulary, before anything is written.
  func forward(_ tokens: [UInt32], into output: UnsafeMutableBufferPointer<Float>) throws(ModelError) {
    precondition(output.count == tokens.count * width)
    if let token = tokens.first(where: { $0 >= vocabularySize }) {
      throw ModelError(
        .invalidArgument, "token id \(token) is outside of the vocabulary of \(vocabularySize)")
    }
    let rows = weights.readable(matrix.range)
    for (row, token) in tokens.enumerated() {
      let from = rows.rows(Int(token)..<Int(token) + 1, of: width)
      _ = output.rows(row..<row + 1, of: width).update(fromContentsOf: from)
    }
  }

  /// Adds each row's gradient to that of its token's row, in the order of the rows.
  ///
  /// - Parameters:
  ///   - tokens: as given to the forward pass.
  ///   - dOutput: `[tokens.count, width]`.
  func backward(_ tokens: [UInt32], dOutput: UnsafeBufferPointer<Float>) {
    precondition(dOutput.count == tokens.count * width)
    let rows = gradients.writable(matrix.range)
    for (row, token) in tokens.enumerated() {
      let to = rows.rows(Int(token)..<Int(token) + 1, of: width).baseAddress
      lagoon_add(to, dOutput.rows(row..<row + 1, of: width).baseAddress, to, width)
    }
  }
}

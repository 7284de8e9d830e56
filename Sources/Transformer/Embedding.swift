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

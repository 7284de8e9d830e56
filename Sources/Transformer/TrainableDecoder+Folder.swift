extension TrainableDecoder {
  /// Writes the decoder as a Hugging Face folder: `model.safetensors` with every tensor under its name and shape, `config.json`
  /// and whatever else of the tokenizer and of text generation the folder had that was read. A tied head is not written.
  ///
  /// `torch_dtype` or `dtype` in `config.json` become what the weights are now, rotary settings what the decoder was made with;
  /// all else there stays byte for byte. The folder is made if it is not there. Each file appears whole or not at all, the
  /// weights last, and is on the disk when this returns.
  ///
  /// - Parameter progress: is told how many elements have been written.
  /// - Throws: `io`; `unsupported` naming a tensor with a finite weight beyond its original type's range. Then no file has
  ///   changed.
  public func save(
    to folder: String, as type: SavedWeights = .float32, progress: (Int) -> Void = { _ in }
  ) throws(ModelError) {
    try source.write(weights.layout, to: folder, as: type, progress: progress) { tensor in
      weights.readable(tensor.range)
    }
  }
}

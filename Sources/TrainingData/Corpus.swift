import Tokenization

/// Texts to train on and to evaluate with, as tokens in a spool folder; memory does not depend on their size.
///
/// Sources are tokenised once. The folder is used again as long as the files (path, size, time of change), the tokenizer and
/// the options that tokens depend on are the same; then every token is checked against its checksum. How long documents are,
/// what is held out and what is drawn can change without tokenising again.
public final class Corpus: Sendable {
  public let options: CorpusOptions
  /// Ids lie below.
  public let vocabularySize: Int
  /// What was found, for people and programs.
  public let summary: CorpusSummary
  /// Stands for all that draws depend on: the tokens, the weights and the options. It does not depend on where files are.
  public let fingerprint: UInt64
  /// Pieces of the held-out shares of all sources.
  public let heldOutCount: Int

  private let sources: [CorpusSource]
  private let tokenizer: any Tokenizer

  /// Opens a corpus; tokenises it unless the spool folder has it.
  ///
  /// - Parameters:
  ///   - tokenizerName: stands for the tokenizer: another name, and the spool is made again.
  ///   - spool: a folder of its own; made if it is not there.
  ///   - progress: told the bytes done and in total, after each block; what it throws ends the work and is thrown on.
  /// - Throws: ``DataError`` with file and line, or what `progress` throws.
  public init(
    _ sources: [DataSource], tokenizer: any Tokenizer, tokenizerName: String, options: CorpusOptions,
    spool folder: String, progress: (_ done: Int, _ total: Int) throws -> Void = { _, _ in }
  ) throws {
    guard !sources.isEmpty else { throw DataError(.invalidArgument, "no data") }
    let files = try sources.map { try SourceFiles(path: $0.path) }
    let vocabularySize = options.vocabularySize ?? tokenizer.vocabularySize
    guard (1...DocumentEntry.largestVocabulary).contains(vocabularySize) else {
      throw DataError(.invalidArgument, "a vocabulary of \(vocabularySize) tokens is outside of 1...2^31")
    }
    let key = SpoolManifest.Key(
      version: SpoolManifest.version, tokenizer: tokenizerName, vocabularySize: vocabularySize,
      lossOn: options.lossOn, skipBad: options.skipBad, addsSpecialTokens: options.addsSpecialTokens,
      sources: zip(sources, files).map { .init(path: $0.path, files: $1.files) })
    let spool = try Spool(
      folder: folder, key: key, tokenizer: tokenizer, options: options, progress: progress)
    self.sources = try sources.indices.map {
      try CorpusSource(
        index: $0, source: sources[$0], files: files[$0], spooled: spool.sources[$0], options: options)
    }
    self.options = options
    self.vocabularySize = vocabularySize
    self.tokenizer = tokenizer
    summary = CorpusSummary(
      sources: self.sources.map(SourceSummary.init), maximumTokens: options.maximumTokens,
      isReused: spool.isReused)
    heldOutCount = summary.heldOut.pieces
    fingerprint = Self.fingerprint(self.sources, options, vocabularySize)
  }

  /// A draw's document.
  ///
  /// - Throws: `otherCorpus` when the draw is not one of this corpus' orders; `damaged`, `io`.
  public func document(_ draw: Draw) throws(DataError) -> TrainingDocument {
    guard sources.indices.contains(draw.source), draw.epoch >= 0, draw.index >= 0,
      draw.index < sources[draw.source].training.pieces(epoch: draw.epoch),
      let document = try read(
        draw.index, draw.epoch, sources[draw.source], sources[draw.source].training)
    else { throw DataError(.otherCorpus, "\(draw) is no draw of this corpus") }
    return document
  }

  /// A held-out document, below ``heldOutCount``: those of the first source in the order of its text, then the next source's.
  ///
  /// - Throws: `damaged`, `io`.
  public func heldOut(_ index: Int) throws(DataError) -> TrainingDocument {
    precondition((0..<heldOutCount).contains(index), "no such held-out document")
    var left = index
    for source in sources {
      if left < source.heldOut.firstPieces, let document = try read(left, 0, source, source.heldOut) {
        return document
      }
      left -= source.heldOut.firstPieces
    }
    throw DataError(.otherCorpus, "no held-out document \(index)")
  }

  /// An endless order of draws, at its beginning.
  public func order(seed: UInt64) -> DataOrder {
    DataOrder(
      seed: seed,
      sources: sources.map { ($0.source.weight, $0.training.firstPieces, $0.training.laterPieces) })
  }

  private func read(
    _ index: Int, _ epoch: Int, _ source: CorpusSource, _ table: PieceTable
  ) throws(DataError) -> TrainingDocument? {
    try source.document(
      index, epoch: epoch, of: table, seed: options.seed, vocabularySize: vocabularySize
    ) { tokenizer.bytes(of: $0).count }
  }

  private static func fingerprint(
    _ sources: [CorpusSource], _ options: CorpusOptions, _ vocabularySize: Int
  ) -> UInt64 {
    var checksum = Checksum()
    checksum.add(UInt64(SpoolManifest.version))
    checksum.add(UInt64(vocabularySize))
    checksum.add(UInt64(options.maximumTokens))
    checksum.add(options.holdOut.bitPattern)
    checksum.add(options.seed)
    for source in sources {
      checksum.add(source.source.weight.bitPattern)
      checksum.add(source.spooled.contents.tokensChecksum)
      checksum.add(source.spooled.contents.documentsChecksum)
    }
    return checksum.value
  }
}

import Foundation
import Tokenization

/// A corpus' tokens on disk.
struct Spool: Sendable {
  struct Source: Sendable {
    let contents: SpoolManifest.Contents
    let tokens: WordFile<UInt32>
    let documents: WordFile<UInt64>
  }

  let sources: [Source]
  /// Whether it was there already.
  let isReused: Bool

  /// Opens a folder's spool, or makes it when there is none of this key.
  ///
  /// - Throws: `DataError`, or what `progress` throws.
  init(
    folder: String, key: SpoolManifest.Key, tokenizer: any Tokenizer, options: CorpusOptions,
    progress: (_ done: Int, _ total: Int) throws -> Void
  ) throws {
    if let manifest = try SpoolManifest.read(folder: folder), manifest.key == key {
      sources = try Self.open(folder, manifest)
      try Self.verify(sources, progress)
      isReused = true
      return
    }
    let manifest = try Self.make(folder, key, tokenizer, options, progress)
    sources = try Self.open(folder, manifest)
    isReused = false
  }

  private static func open(_ folder: String, _ manifest: SpoolManifest) throws(DataError) -> [Source] {
    var sources: [Source] = []
    for (index, contents) in manifest.contents.enumerated() {
      let path = SpoolManifest.documentsPath(folder: folder, source: index)
      let (words, overflow) = contents.documents.multipliedReportingOverflow(by: DocumentEntry.words)
      guard !overflow else { throw .damaged("too many documents", folder + "/" + SpoolManifest.fileName) }
      sources.append(
        Source(
          contents: contents,
          tokens: try WordFile(
            path: SpoolManifest.tokensPath(folder: folder, source: index), count: contents.tokens),
          documents: try WordFile(path: path, count: words)))
    }
    return sources
  }

  /// Reads every token once: what has rotten since is not trained on.
  private static func verify(_ sources: [Source], _ progress: (Int, Int) throws -> Void) throws {
    let total = sources.reduce(0) { $0 + $1.tokens.count * MemoryLayout<UInt32>.size }
    var done = 0
    for source in sources {
      var checksum = Checksum()
      try source.tokens.forEachBlock(ofWords: 1 << 18) { _, words in
        for word in words { checksum.add(UInt64(word)) }
        done += words.count * MemoryLayout<UInt32>.size
        try progress(done, total)
      }
      guard checksum.value == source.contents.tokensChecksum else {
        throw DataError.damaged("the checksum is another one", source.tokens.path)
      }
    }
  }

  private static func make(
    _ folder: String, _ key: SpoolManifest.Key, _ tokenizer: any Tokenizer, _ options: CorpusOptions,
    _ progress: (Int, Int) throws -> Void
  ) throws -> SpoolManifest {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw DataError(.io, "cannot be created: \(error.localizedDescription)", path: folder)
    }
    try SpoolManifest.remove(folder: folder)
    let encoder: TextEncoder
    do {
      encoder = try TextEncoder(tokenizer, addsSpecialTokens: options.addsSpecialTokens)
    } catch {
      throw DataError(.invalidArgument, "the tokenizer cannot be used for training: \(error)")
    }
    let total = key.sources.reduce(0) { $0 + $1.files.reduce(0) { $0 + $1.size } }
    var done = 0
    let contents = try withoutActuallyEscaping(progress) { progress in
      try key.sources.enumerated().map { index, source in
        var spooler = try SourceSpooler(
          folder: folder, source: index, encoder: encoder, vocabularySize: key.vocabularySize,
          options: options
        ) { bytes in
          done += bytes
          try progress(done, total)
        }
        try spooler.run(source.files)
        return spooler.contents
      }
    }
    let manifest = SpoolManifest(key: key, contents: contents)
    try manifest.write(folder: folder)
    return manifest
  }
}

import DurableFiles
import Foundation

/// What a spool folder holds: `manifest.json`, which is written last, so that a spool is whole or is not there.
struct SpoolManifest: Codable, Sendable {
  static let version = 2
  static let fileName = "manifest.json"

  /// What tokens depend on. A spool with the same is used again.
  struct Key: Codable, Sendable, Hashable {
    struct Source: Codable, Sendable, Hashable {
      let path: String
      let files: [InputFile]
    }

    let version: Int
    /// The caller's name of the tokenizer.
    let tokenizer: String
    let vocabularySize: Int
    let lossOn: LossScope?
    let skipBad: Bool
    let addsSpecialTokens: Bool
    let sources: [Source]
  }

  /// What was written for one source.
  struct Contents: Codable, Sendable, Hashable {
    var documents = 0
    var tokens = 0
    var documentsChecksum: UInt64 = 0
    var tokensChecksum: UInt64 = 0
    /// Lines and files that were left out, and the first of them.
    var skipped = 0
    var firstSkipped: [SkippedText] = []
  }

  let key: Key
  let contents: [Contents]

  /// The manifest of a folder, if it has one of this version.
  ///
  /// - Throws: `damaged`, `io`.
  static func read(folder: String) throws(DataError) -> SpoolManifest? {
    struct Version: Decodable {
      struct Key: Decodable { let version: Int }
      let key: Key
    }
    let path = folder + "/" + fileName
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw DataError(.io, "cannot be read", path: path)
    }
    let decoder = JSONDecoder()
    guard let found = try? decoder.decode(Version.self, from: data) else {
      throw .damaged("not a spool's manifest", path)
    }
    guard found.key.version == version else { return nil }
    guard let manifest = try? decoder.decode(SpoolManifest.self, from: data),
      manifest.contents.count == manifest.key.sources.count
    else { throw .damaged("not a spool's manifest", path) }
    return manifest
  }

  /// Makes it the folder's manifest, after everything else there has become durable.
  func write(folder: String) throws(DataError) {
    let path = folder + "/" + Self.fileName
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(self) else {
      throw DataError(.io, "the manifest cannot be written as JSON", path: path)
    }
    do throws(FileError) {
      try AtomicFile.write(data, to: path)
    } catch {
      throw DataError(.io, error.message, path: path)
    }
  }

  /// Removes the folder's manifest: what else is there is no spool any more.
  static func remove(folder: String) throws(DataError) {
    let path = folder + "/" + fileName
    guard unlink(path) == 0 || errno == ENOENT else { throw .system("cannot be removed", path: path) }
  }

  /// Where a source's tokens are, `u32`.
  static func tokensPath(folder: String, source: Int) -> String { "\(folder)/source-\(source).tokens" }

  /// Where a source's entries are, ``DocumentEntry/words`` `u64` each.
  static func documentsPath(folder: String, source: Int) -> String { "\(folder)/source-\(source).documents" }
}

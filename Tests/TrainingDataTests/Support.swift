import Foundation
import Testing
import Tokenization
import TrainingData

/// A folder that is gone when the test is.
final class Folder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "lagoon-data-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file, and the folders that it is in.
  @discardableResult
  func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let file = path + "/" + name
    let folder = (file as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path + "/" + name)))
  }

  /// Opens a corpus of byte tokens that is spooled in `spool` here.
  func corpus(
    _ arguments: String..., options: CorpusOptions? = nil, tokenizer: any Tokenizer = ByteTokenizer(),
    name: String = "bytes", progress: (Int, Int) throws -> Void = { _, _ in }
  ) throws -> Corpus {
    let sources = try arguments.map { try DataSource(argument: path + "/" + $0) }
    let chosen = try options ?? CorpusOptions(maximumTokens: 64)
    return try Corpus(
      sources, tokenizer: tokenizer, tokenizerName: name, options: chosen, spool: path + "/spool",
      progress: progress)
  }

  /// What opening a corpus fails with, without the folder's name.
  func failure(_ arguments: String..., options: CorpusOptions? = nil) throws -> String? {
    let sources = try arguments.map { try DataSource(argument: path + "/" + $0) }
    let chosen = try options ?? CorpusOptions(maximumTokens: 64)
    do {
      _ = try Corpus(
        sources, tokenizer: ByteTokenizer(), tokenizerName: "bytes", options: chosen, spool: path + "/spool")
      return nil
    } catch let error as DataError {
      return error.description.replacingOccurrences(of: path + "/", with: "")
    }
  }
}

extension Corpus {
  /// All documents of one epoch of a source, in the order of the text.
  func epoch(_ epoch: Int = 0, source: Int = 0) throws -> [TrainingDocument] {
    var documents: [TrainingDocument] = []
    while true {
      let draw = Draw(source: source, epoch: epoch, index: documents.count)
      do {
        documents.append(try document(draw))
      } catch {
        guard error.code == .otherCorpus else { throw error }
        return documents
      }
    }
  }

  var heldOutDocuments: [TrainingDocument] {
    get throws { try (0..<heldOutCount).map { try heldOut($0) } }
  }
}

extension TrainingDocument {
  var text: String { String(decoding: tokens.map { UInt8($0) }, as: UTF8.self) }
  var targetText: String { String(decoding: targets.compactMap { $0.map { UInt8($0) } }, as: UTF8.self) }
}

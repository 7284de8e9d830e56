import Foundation
import ModelToolSupport
import RecallTasks
import Tokenization
import ToolSupport

/// The documents that `eval` reads: made from a text or a seed, or read from a file.
struct EvalSource {
  let task: EvalTask
  let from: String?
  let planting: PlantingOptions
  /// Most documents.
  let documents: Int
  let seed: UInt64
  /// Where planting has none of its own.
  let gap: Int

  func recallDocuments(_ tokenizer: any Tokenizer) throws -> [RecallDocument] {
    guard case .recall(let task) = task else { return [] }
    if let from {
      return try lines(from, as: PlantedDocument.self) { try $0.check() }.map(RecallDocument.init)
    }
    guard task == .numbers else {
      let made = try RecallDocuments(task, length: planting.length, seed: seed)
      return try (0..<documents).map { index in
        try made.document(index) { try tokenizer.encode(Array($0.utf8), isBeginning: true).count }
      }
    }
    let planter = try planting.planter(seed: seed, gap: gap)
    return try (0..<documents).map { RecallDocument(try planter.document($0)) }
  }

  /// Pieces of the text, each of `length` tokens and what the tokenizer puts before a document; or the lines of the file.
  func tokens(_ tokenizer: any Tokenizer) throws -> [[UInt32]] {
    struct Line: Decodable { var text: String }
    if let from {
      let texts = try lines(from, as: Line.self) { _ in }
      return try texts.enumerated().map { index, line in
        let tokens = try tokenizer.encode(Array(line.text.utf8), isBeginning: true)
        guard tokens.count >= 2 else { throw ToolError("\(from):\(index + 1): fewer than two tokens") }
        return tokens
      }
    }
    guard let path = planting.text else { throw ToolError("there is no text to read: pass --text FILE") }
    let bytes = try Input.source(path)
    let range = try planting.range(bytes.count)
    guard range.upperBound <= bytes.count else {
      throw ToolError("\(path) has \(bytes.count) bytes, not \(range.upperBound)")
    }
    let opening = try tokenizer.encode([], isBeginning: true)
    let tokens = try tokenizer.encode(Array(bytes[range]), isBeginning: false)
    guard planting.length >= 2, tokens.count >= planting.length else {
      throw ToolError(
        "\(path) has \(tokens.count) tokens; a document of \(planting.length) cannot be cut from it: see --length"
      )
    }
    let pieces = stride(from: 0, through: tokens.count - planting.length, by: planting.length)
    return pieces.prefix(documents).map { opening + tokens[$0..<$0 + planting.length] }
  }

  /// The first lines of a file, blank ones left out.
  private func lines<Line: Decodable>(
    _ path: String, as type: Line.Type, check: (Line) throws -> Void
  ) throws -> [Line] {
    var lines: [Line] = []
    let decoder = JSONDecoder()
    for (index, line) in try Input.source(path).split(separator: 0x0A, omittingEmptySubsequences: false)
      .enumerated()
    {
      if lines.count == documents { break }
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) { continue }
      do {
        let value = try decoder.decode(type, from: Data(line))
        try check(value)
        lines.append(value)
      } catch let error as RecallTaskError {
        throw ToolError("\(path):\(index + 1): \(error)")
      } catch DecodingError.keyNotFound(let key, _) {
        throw ToolError(
          "\(path):\(index + 1): there is no \"\(key.stringValue)\"; lagoon-train plant writes such files")
      } catch {
        throw ToolError("\(path):\(index + 1): no JSON object of a document: \(error)")
      }
    }
    guard !lines.isEmpty else { throw ToolError("\(path) has no documents") }
    return lines
  }
}

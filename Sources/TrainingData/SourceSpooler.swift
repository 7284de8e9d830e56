import Tokenization

/// Writes one source's documents to a spool.
struct SourceSpooler {
  /// Skipped lines that are described; the rest are counted.
  static let describedSkips = 1_000

  let options: CorpusOptions
  let vocabularySize: Int
  let encoder: TextEncoder
  /// Told the bytes of each block that was read.
  let progress: (Int) throws -> Void

  private let tokens: WordFileWriter<UInt32>
  private let documents: WordFileWriter<UInt64>
  private(set) var contents = SpoolManifest.Contents()
  /// Index of the file that is being read.
  private var file = 0
  /// Marked tokens of the document that is being written.
  private var ignored = 0

  init(
    folder: String, source: Int, encoder: TextEncoder, vocabularySize: Int, options: CorpusOptions,
    progress: @escaping (Int) throws -> Void
  ) throws(DataError) {
    self.options = options
    self.vocabularySize = vocabularySize
    self.encoder = encoder
    self.progress = progress
    tokens = try WordFileWriter(path: SpoolManifest.tokensPath(folder: folder, source: source))
    documents = try WordFileWriter(path: SpoolManifest.documentsPath(folder: folder, source: source))
  }

  /// Reads the source's files and makes what was written durable.
  ///
  /// - Throws: `DataError`, or what `progress` throws.
  mutating func run(_ files: [InputFile]) throws {
    for (index, input) in files.enumerated() {
      file = index
      switch InputFile.kind(ofPath: input.path) {
      case .text: try readText(input)
      case .records: try readRecords(input)
      case nil: break
      }
    }
    contents.documents = documents.count / DocumentEntry.words
    contents.tokens = tokens.count
    contents.documentsChecksum = documents.checksum.value
    contents.tokensChecksum = tokens.checksum.value
    try tokens.commit()
    try documents.commit()
  }

  // MARK: Kinds of files

  private mutating func readText(_ input: InputFile) throws {
    let reader = try BlockReader(input)
    var reported = 0
    try document(of: input, line: nil, kind: .textFile) { writer in
      guard writer.options.lossOn != .answer else { throw BadText(Self.noAnswer) }
      var text = StreamingEncoder(writer.encoder, begins: true)
      while try reader.next() {
        try writer.write(text.append(reader.block[..<reader.count]))
        try writer.progress(reader.count)
        reported += reader.count
      }
      try writer.write(text.finish())
      try writer.write(writer.encoder.end)
      return 1
    }
    // What is left of a text that was skipped.
    if reported < input.size { try progress(input.size - reported) }
  }

  private mutating func readRecords(_ input: InputFile) throws {
    let reader = try BlockReader(input)
    var lines = LineReader(reader)
    var line: [UInt8] = []
    var reported = 0
    while let found = try lines.next(into: &line) {
      if reader.offset > reported {
        try progress(reader.offset - reported)
        reported = reader.offset
      }
      if found == .whole, line.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { continue }
      try readRecord(line, isWhole: found == .whole, of: input, number: lines.number)
    }
  }

  private mutating func readRecord(_ line: [UInt8], isWhole: Bool, of input: InputFile, number: Int) throws {
    let record: Record
    do throws(BadText) {
      guard isWhole else { throw BadText("a line of more than \(LineReader.maximumBytes >> 20) MiB") }
      record = try Record(line, vocabularySize: vocabularySize)
    } catch {
      return try skip(error, input, number)
    }
    switch record {
    case .text(let text, let ignored):
      try document(of: input, line: number, kind: []) { writer in
        guard writer.options.lossOn != .answer else { throw BadText(Self.noAnswer) }
        try writer.encode(text, begins: true, ignored: ignored)
        try writer.write(writer.encoder.end)
        return 1
      }
    case .tokens(let tokens):
      try document(of: input, line: number, kind: .unknownText) { writer in
        guard writer.options.lossOn != .answer else { throw BadText(Self.noAnswer) }
        try writer.write(tokens)
        return 1
      }
    case .question(let context, let question, let answer):
      let kind: DocumentEntry.Kind = options.lossOn == .all ? [] : .answerOnly
      try document(of: input, line: number, kind: kind) { writer in
        let first = writer.tokens.count
        try writer.encode(context, begins: true)
        try writer.encode(question, begins: context.isEmpty)
        let answerStart = writer.tokens.count
        try writer.encode(answer, begins: context.isEmpty && question.isEmpty)
        guard writer.tokens.count > answerStart else { throw BadText("the answer has no tokens") }
        try writer.write(writer.encoder.end)
        return kind == .answerOnly ? max(1, answerStart - first) : 1
      }
    }
  }

  private static let noAnswer = "no answer to predict, and the loss is asked for on answers only"

  // MARK: Documents

  /// Writes one document, or nothing of it.
  ///
  /// - Parameter body: writes the tokens and returns the index of the first one that is to be predicted.
  private mutating func document(
    of input: InputFile, line: Int?, kind: DocumentEntry.Kind, _ body: (inout Self) throws -> Int
  ) throws {
    let mark = tokens.mark
    let first = tokens.count
    ignored = 0
    do {
      let firstTarget = try body(&self)
      let count = tokens.count - first
      guard count >= 2 else { throw BadText("\(count) token\(count == 1 ? "" : "s"): a document needs 2") }
      guard ignored < count - firstTarget else {
        throw BadText("all tokens but the first are ignored: there is nothing to learn from")
      }
      let entry = DocumentEntry(
        offset: first, count: count, firstTarget: firstTarget, line: line ?? 0, file: file, kind: kind,
        ignored: ignored)
      // Skipped records that are too long are left to the reader: the spool does not depend on the length.
      if !options.skipBad, let tooLong = entry.tooLong(options.maximumTokens) { throw tooLong }
      try documents.append(entry.encoded)
    } catch let error as BadText {
      try tokens.rollBack(to: mark)
      try skip(error, input, line)
    }
  }

  /// Notes a bad text, or ends with it.
  private mutating func skip(_ bad: BadText, _ input: InputFile, _ line: Int?) throws(DataError) {
    guard options.skipBad else {
      throw DataError(.malformed, bad.message, path: input.path, line: line ?? bad.line)
    }
    contents.skipped += 1
    if contents.firstSkipped.count < Self.describedSkips {
      contents.firstSkipped.append(
        SkippedText(path: input.path, line: line ?? bad.line, reason: bad.message))
    }
  }

  private mutating func encode(_ text: [UInt8], begins: Bool, ignored ranges: [Range<Int>] = []) throws {
    guard !text.isEmpty else { return }
    var marker = IgnoredTokens(ranges, of: text, tokenizer: encoder.tokenizer)
    var stream = StreamingEncoder(encoder, begins: begins)
    for start in stride(from: 0, to: text.count, by: BlockReader.blockBytes) {
      let part = text[start..<min(text.count, start + BlockReader.blockBytes)]
      try write(try stream.append(part), &marker)
      try progress(0)
    }
    try write(try stream.finish(), &marker)
    try marker?.finish()
    ignored += marker?.count ?? 0
  }

  /// Writes the next tokens of a text that may have ignored ranges.
  private func write(_ ids: [UInt32], _ marker: inout IgnoredTokens?) throws {
    try checkIDs(ids)
    try tokens.append(marker?.mark(ids) ?? ids)
  }

  private func write(_ ids: [UInt32]) throws {
    try checkIDs(ids)
    try tokens.append(ids)
  }

  private func checkIDs(_ ids: [UInt32]) throws(BadText) {
    if let id = ids.first(where: { $0 >= vocabularySize }) {
      throw BadText("token \(id) is outside of the vocabulary of \(vocabularySize)")
    }
  }
}

extension DocumentEntry {
  /// What is wrong with a document that must not be cut and has more than `maximum` tokens.
  func tooLong(_ maximum: Int) -> BadText? {
    guard isWhole, count > maximum else { return nil }
    let what = kind.contains(.answerOnly) ? "a question" : "a text with ignored ranges"
    return BadText("\(count) tokens, longer than --length \(maximum); \(what) is not cut")
  }
}

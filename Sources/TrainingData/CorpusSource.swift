/// One source of a corpus: its spooled tokens, and which pieces are drawn from them.
struct CorpusSource: Sendable {
  let index: Int
  let source: DataSource
  let files: SourceFiles
  let spooled: Spool.Source
  let training: PieceTable
  let heldOut: PieceTable
  /// Texts left out, those that are too long included.
  let skipped: Int
  let firstSkipped: [SkippedText]

  /// Entries that are read at once.
  private static let blockEntries = 4_096

  /// Reads all entries once, checks them and counts their pieces.
  ///
  /// - Throws: `damaged`; `malformed` for a question that is too long; `empty` when nothing is left for training, or to hold
  ///   out.
  init(
    index: Int, source: DataSource, files: SourceFiles, spooled: Spool.Source, options: CorpusOptions
  ) throws {
    let contents = spooled.contents
    let isText = files.files.allSatisfy { InputFile.kind(ofPath: $0.path) == .text }
    let share = HeldOutShare(
      options.holdOut, documents: contents.documents, tokens: contents.tokens, isText: isText)
    let maximum = options.maximumTokens
    var training = PieceTable(maximumTokens: maximum) { entry, document in
      if entry.tooLong(maximum) != nil { return 0..<0 }
      return 0..<share.trainingTokens(of: entry, document: document)
    }
    var heldOut = PieceTable(maximumTokens: maximum) { entry, document in
      if entry.tooLong(maximum) != nil { return 0..<0 }
      return share.trainingTokens(of: entry, document: document)..<entry.count
    }
    var skipped = contents.skipped
    var firstSkipped = contents.firstSkipped
    var checksum = Checksum()
    var next = 0
    try spooled.documents.forEachBlock(ofWords: Self.blockEntries * DocumentEntry.words) { _, words in
      for word in words { checksum.add(word) }
      for entry in try Self.entries(words, spooled, files.files.count) {
        guard entry.offset == next else {
          throw DataError.damaged("documents are not one after another", spooled.documents.path)
        }
        next += entry.count
        if let tooLong = entry.tooLong(maximum) {
          let path = files.files[entry.file].path
          guard options.skipBad else {
            throw DataError(.malformed, tooLong.message, path: path, line: entry.line)
          }
          skipped += 1
          if firstSkipped.count < SourceSpooler.describedSkips {
            firstSkipped.append(SkippedText(path: path, line: entry.line, reason: tooLong.message))
          }
        }
        training.append(entry)
        heldOut.append(entry)
      }
    }
    guard checksum.value == contents.documentsChecksum, next == contents.tokens else {
      throw DataError.damaged("the checksum is another one", spooled.documents.path)
    }
    guard training.firstPieces > 0 else {
      let held = heldOut.firstPieces > 0
      throw DataError(
        .empty,
        held
          ? "nothing is left to train on when a share of \(options.holdOut) is held out"
          : "no text to train on" + (skipped > 0 ? ", \(skipped) skipped" : ""),
        path: source.path)
    }
    guard options.holdOut == 0 || heldOut.firstPieces > 0 else {
      throw DataError(
        .empty, "too short for a share of \(options.holdOut) to be held out", path: source.path)
    }
    self.index = index
    self.source = source
    self.files = files
    self.spooled = spooled
    self.training = training
    self.heldOut = heldOut
    self.skipped = skipped
    self.firstSkipped = firstSkipped
  }

  /// Decodes whole entries.
  private static func entries(
    _ words: [UInt64], _ spooled: Spool.Source, _ files: Int
  ) throws(DataError) -> [DocumentEntry] {
    var entries: [DocumentEntry] = []
    entries.reserveCapacity(words.count / DocumentEntry.words)
    for start in stride(from: 0, to: words.count, by: DocumentEntry.words) {
      let part = words[start..<start + DocumentEntry.words]
      guard let entry = DocumentEntry(part, tokens: spooled.tokens.count, files: files) else {
        throw .damaged("an entry makes no sense", spooled.documents.path)
      }
      entries.append(entry)
    }
    return entries
  }

  /// A piece, read from the spool; nil when there is none of this number.
  func document(
    _ piece: Int, epoch: Int, of table: PieceTable, seed: UInt64, vocabularySize: Int, bytes: (UInt32) -> Int
  ) throws(DataError) -> TrainingDocument? {
    func read(_ range: Range<Int>) throws(DataError) -> [DocumentEntry] {
      let words = range.lowerBound * DocumentEntry.words..<range.upperBound * DocumentEntry.words
      return try Self.entries(spooled.documents.read(words), spooled, files.files.count)
    }
    let found = try table.piece(piece, epoch: epoch, read: read) { document in
      Mixing.key(seed, UInt64(index), UInt64(epoch), UInt64(document), 2)
    }
    guard let found else { return nil }
    let entry = found.entry
    // The token after the piece is the last one's target.
    let end = min(found.range.upperBound + 1, found.part.upperBound)
    let tokens = try spooled.tokens.read(entry.offset + found.range.lowerBound..<entry.offset + end)
    let mark = DocumentEntry.ignoredMark
    guard tokens.allSatisfy({ $0 & ~mark < vocabularySize }) else {
      throw .damaged("a token is outside of the vocabulary", spooled.tokens.path)
    }
    // A document with marks is never cut.
    guard tokens.count(where: { $0 & mark != 0 }) == entry.ignored else {
      throw .damaged("other tokens are ignored than were", spooled.tokens.path)
    }
    let count = found.range.count
    var textBytes = 0
    let targets: [UInt32?] = (0..<count).map { at in
      guard at + 1 < tokens.count, found.range.lowerBound + at + 1 >= entry.firstTarget,
        tokens[at + 1] & mark == 0
      else { return nil }
      if !entry.kind.contains(.unknownText) { textBytes += bytes(tokens[at + 1]) }
      return tokens[at + 1]
    }
    return TrainingDocument(
      tokens: tokens.prefix(count).map { $0 & ~mark }, targets: targets, origin: origin(found),
      bytes: textBytes)
  }

  private func origin(_ piece: PieceTable.Piece) -> String {
    let entry = piece.entry
    let place = files.files[entry.file].path + (entry.line > 0 ? ":\(entry.line)" : "")
    if piece.range == 0..<entry.count { return place }
    return "\(place), tokens \(piece.range.lowerBound)..<\(piece.range.upperBound)"
  }
}

/// Which piece of which document a number stands for, in memory that does not depend on how many there are.
///
/// Sums of pieces are kept for every so manyth document; what is between is read from the spool.
struct PieceTable: Sendable {
  /// How a document takes part: the range of its tokens, empty if it does not.
  typealias Part = @Sendable (DocumentEntry, _ document: Int) -> Range<Int>

  private struct Checkpoint: Sendable {
    /// Pieces of all documents before, in the first and in each later epoch.
    var firstPieces: Int
    var laterPieces: Int

    func pieces(epoch: Int) -> Int { epoch == 0 ? firstPieces : laterPieces }
  }

  private static let maximumCheckpoints = 4_096

  private let maximumTokens: Int
  private let part: Part
  private var checkpoints: [Checkpoint] = []
  /// Documents from one checkpoint to the next.
  private var interval = 1
  private var documents = 0
  private(set) var firstPieces = 0
  private(set) var laterPieces = 0
  private(set) var tokens = 0
  private(set) var targets = 0

  init(maximumTokens: Int, part: @escaping Part) {
    self.maximumTokens = maximumTokens
    self.part = part
  }

  /// Adds the next document.
  mutating func append(_ entry: DocumentEntry) {
    if documents % interval == 0 {
      checkpoints.append(Checkpoint(firstPieces: firstPieces, laterPieces: laterPieces))
      if checkpoints.count == Self.maximumCheckpoints {
        interval *= 2
        checkpoints = stride(from: 0, to: checkpoints.count, by: 2).map { checkpoints[$0] }
      }
    }
    let range = part(entry, documents)
    documents += 1
    guard !range.isEmpty else { return }
    let cuts = PieceCuts(count: range.count, maximum: maximumTokens)
    firstPieces += cuts.firstPieces
    laterPieces += cuts.laterPieces
    tokens += range.count
    targets += entry.targets(in: range)
  }

  func pieces(epoch: Int) -> Int { epoch == 0 ? firstPieces : laterPieces }

  /// A piece of a document.
  struct Piece: Sendable, Hashable {
    let entry: DocumentEntry
    /// The document's tokens that take part at all.
    let part: Range<Int>
    /// Those of the piece.
    let range: Range<Int>
  }

  /// Finds a piece.
  ///
  /// - Parameters:
  ///   - index: below ``pieces(epoch:)``.
  ///   - read: reads a range of the documents' entries.
  ///   - bits: random bits for the epoch's cuts of a document.
  func piece(
    _ index: Int, epoch: Int, read: (Range<Int>) throws(DataError) -> [DocumentEntry], bits: (Int) -> UInt64
  ) throws(DataError) -> Piece? {
    // The last checkpoint that has at most `index` pieces before it.
    var low = 0
    var high = checkpoints.count
    while high - low > 1 {
      let middle = (low + high) / 2
      if checkpoints[middle].pieces(epoch: epoch) <= index { low = middle } else { high = middle }
    }
    var before = checkpoints[low].pieces(epoch: epoch)
    let first = low * interval
    let entries = try read(first..<min(documents, first + interval))
    for (offset, entry) in entries.enumerated() {
      let part = part(entry, first + offset)
      guard !part.isEmpty else { continue }
      let cuts = PieceCuts(count: part.count, maximum: maximumTokens)
      let pieces = cuts.pieces(epoch: epoch)
      if index - before < pieces {
        let range = cuts.range(ofPiece: index - before, epoch: epoch, bits: bits(first + offset))
        let shifted = range.lowerBound + part.lowerBound..<range.upperBound + part.lowerBound
        return Piece(entry: entry, part: part, range: shifted)
      }
      before += pieces
    }
    return nil
  }
}

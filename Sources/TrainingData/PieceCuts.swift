/// How a document is cut into pieces of at most `maximum` tokens: in every epoch each token lies in exactly one piece, and each
/// piece has at least 2.
///
/// All pieces but the first and the last are `maximum` long. In the first epoch only the last one may be shorter. In later ones
/// the first is of a seeded length, out of at least `maximum / 2` lengths or so (see `laterLengths`) that leave the number of
/// pieces the same in all of them: so the pieces of a source can be counted once and for all.
package struct PieceCuts: Sendable {
  package let count: Int
  package let maximum: Int

  /// - Parameters:
  ///   - count: tokens of the document, at least 2.
  ///   - maximum: at least ``CorpusOptions/smallestMaximum``.
  package init(count: Int, maximum: Int) {
    precondition(count >= 2 && maximum >= CorpusOptions.smallestMaximum, "nothing to cut")
    self.count = count
    self.maximum = maximum
  }

  /// Pieces of the first epoch: as few as possible.
  package var firstPieces: Int { (count - 1) / maximum + 1 }

  /// Tokens that the last piece has when all before it are full, `1...maximum`.
  private var remainder: Int { count - (firstPieces - 1) * maximum }

  /// Whether later epochs have one piece more than the first: where the last piece is long, it is what is cut in two.
  private var hasExtraPiece: Bool { firstPieces > 1 && remainder > max(maximum / 2, 3) }

  /// Pieces of each later epoch.
  package var laterPieces: Int { firstPieces + (hasExtraPiece ? 1 : 0) }

  package func pieces(epoch: Int) -> Int { epoch == 0 ? firstPieces : laterPieces }

  /// Lengths that the first piece may have in later epochs.
  ///
  /// Without an extra piece, first and last share `maximum + remainder` tokens; with one, `remainder`.
  private var laterLengths: ClosedRange<Int> {
    if hasExtraPiece { return 2...remainder - 2 }
    let shortest = max(2, remainder)
    return shortest...maximum + remainder - shortest
  }

  /// The tokens of a piece.
  ///
  /// - Parameter bits: random bits that belong to document and epoch; the first epoch does without.
  package func range(ofPiece piece: Int, epoch: Int, bits: UInt64) -> Range<Int> {
    let pieces = pieces(epoch: epoch)
    precondition((0..<pieces).contains(piece), "no such piece")
    if pieces == 1 { return 0..<count }
    let first: Int
    if epoch == 0 {
      // A last piece of one token is given a second.
      first = remainder == 1 ? maximum - 1 : maximum
    } else {
      let lengths = laterLengths
      first = lengths.lowerBound + Mixing.below(lengths.count, bits)
    }
    let start = piece == 0 ? 0 : first + (piece - 1) * maximum
    return start..<(piece == pieces - 1 ? count : first + piece * maximum)
  }
}

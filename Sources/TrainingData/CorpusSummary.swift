/// What a corpus holds.
public struct CorpusSummary: Encodable, Sendable, Hashable {
  public let sources: [SourceSummary]
  /// Tokens of a piece at most.
  public let maximumTokens: Int
  /// Whether the spool was there already.
  public let isReused: Bool
  /// One epoch of every source.
  public let training: PieceSummary
  public let heldOut: PieceSummary

  init(sources: [SourceSummary], maximumTokens: Int, isReused: Bool) {
    self.sources = sources
    self.maximumTokens = maximumTokens
    self.isReused = isReused
    training = sources.reduce(PieceSummary()) { $0 + $1.training }
    heldOut = sources.reduce(PieceSummary()) { $0 + $1.heldOut }
  }

  enum CodingKeys: String, CodingKey {
    case sources, training
    case maximumTokens = "maximum_tokens"
    case isReused = "spool_reused"
    case heldOut = "held_out"
  }
}

/// How much is drawn in an epoch.
public struct PieceSummary: Encodable, Sendable, Hashable {
  /// Documents, long ones cut (of the first epoch; later ones may cut a document once more).
  public var pieces = 0
  public var tokens = 0
  /// Tokens that are to be predicted.
  public var targets = 0

  static func + (left: PieceSummary, right: PieceSummary) -> PieceSummary {
    PieceSummary(
      pieces: left.pieces + right.pieces, tokens: left.tokens + right.tokens,
      targets: left.targets + right.targets)
  }
}

/// What one source holds.
public struct SourceSummary: Encodable, Sendable, Hashable {
  public let path: String
  public let weight: Double
  public let files: Int
  /// Files of other kinds, hidden ones, and links to folders.
  public let ignoredFiles: Int
  /// Bytes of the files.
  public let bytes: Int
  /// Texts and records, uncut.
  public let documents: Int
  public let tokens: Int
  public let training: PieceSummary
  public let heldOut: PieceSummary
  /// Lines and files that were left out.
  public let skipped: Int
  /// The first of them.
  public let firstSkipped: [SkippedText]

  init(_ source: CorpusSource) {
    path = source.source.path
    weight = source.source.weight
    files = source.files.files.count
    ignoredFiles = source.files.ignored
    bytes = source.files.files.reduce(0) { $0 + $1.size }
    documents = source.spooled.contents.documents
    tokens = source.spooled.contents.tokens
    training = PieceSummary(source.training)
    heldOut = PieceSummary(source.heldOut)
    skipped = source.skipped
    firstSkipped = source.firstSkipped
  }

  enum CodingKeys: String, CodingKey {
    case path, weight, files, bytes, documents, tokens, training, skipped
    case ignoredFiles = "ignored_files"
    case heldOut = "held_out"
    case firstSkipped = "first_skipped"
  }
}

extension PieceSummary {
  init(_ table: PieceTable) {
    self.init(pieces: table.firstPieces, tokens: table.tokens, targets: table.targets)
  }
}

/// Why a corpus cannot be read or spooled, and where.
public struct DataError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of failure. More kinds may come.
  public struct Code: RawRepresentable, Sendable, Hashable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// An option or an argument makes no sense.
    public static let invalidArgument = Code(rawValue: "invalidArgument")
    /// A source does not exist.
    public static let missing = Code(rawValue: "missing")
    /// The operating system refused to open, list, read, write or rename.
    public static let io = Code(rawValue: "io")
    /// A source is no text that can be trained on: its kind, its bytes or one of its lines.
    public static let malformed = Code(rawValue: "malformed")
    /// A source, or its part for training, holds nothing.
    public static let empty = Code(rawValue: "empty")
    /// A source is not what it was when reading began.
    public static let changed = Code(rawValue: "changed")
    /// A spool is not what was written.
    public static let damaged = Code(rawValue: "damaged")
    /// A draw does not belong to the corpus.
    public static let otherCorpus = Code(rawValue: "otherCorpus")
  }

  public let code: Code
  public let message: String
  /// The file or folder.
  public let path: String?
  /// The line within it, from 1.
  public let line: Int?

  public init(_ code: Code, _ message: String, path: String? = nil, line: Int? = nil) {
    self.code = code
    self.message = message
    self.path = path
    self.line = line
  }

  public var description: String {
    (path.map { $0 + (line.map { ":\($0)" } ?? "") + ": " } ?? "") + message
  }
}

/// Why a model cannot be loaded or run, and where.
public struct ModelError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of failure. More kinds may come.
  public struct Code: RawRepresentable, Sendable, Hashable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// A file of the model's folder cannot be read.
    public static let io = Code(rawValue: "io")
    /// A file is not what its format says.
    public static let malformed = Code(rawValue: "malformed")
    /// The model asks for something that is not supported.
    public static let unsupported = Code(rawValue: "unsupported")
    /// The weights do not fit the configuration.
    public static let mismatch = Code(rawValue: "mismatch")
    /// A caller's argument is out of range, such as a token id outside of the vocabulary.
    public static let invalidArgument = Code(rawValue: "invalidArgument")
    /// oneDNN failed.
    public static let backend = Code(rawValue: "backend")
  }

  public let code: Code
  public let message: String
  /// The file.
  public let path: String?
  /// The field of `config.json` or the tensor that the message is about.
  public let name: String?

  public init(_ code: Code, _ message: String, path: String? = nil, name: String? = nil) {
    self.code = code
    self.message = message
    self.path = path
    self.name = name
  }

  public var description: String {
    (path.map { "\($0): " } ?? "") + (name.map { "\($0): " } ?? "") + message
  }
}

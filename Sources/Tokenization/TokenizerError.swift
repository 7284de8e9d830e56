/// Why a tokenizer cannot be loaded or a text not be encoded, and where.
public struct TokenizerError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of failure. More kinds may come.
  public struct Code: RawRepresentable, Sendable, Hashable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// A file cannot be read.
    public static let io = Code(rawValue: "io")
    /// A file is not what its format says.
    public static let malformed = Code(rawValue: "malformed")
    /// The tokenizer asks for something that is not supported, or the folder has none.
    public static let unsupported = Code(rawValue: "unsupported")
    /// The file is Hugging Face's form of a SentencePiece tokenizer, without byte-level conversion; it is not supported, the
    /// `tokenizer.model` that such folders often have is.
    public static let byteFallback = Code(rawValue: "byteFallback")
    /// The text cannot be encoded.
    public static let invalidText = Code(rawValue: "invalidText")
  }

  public let code: Code
  public let message: String
  /// The file.
  public let path: String?
  /// The field that the message is about, such as `model.byte_fallback`.
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

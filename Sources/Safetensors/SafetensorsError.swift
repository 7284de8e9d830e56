import DurableFiles

/// What is wrong with a safetensors file, and where.
public struct SafetensorsError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of failure. More kinds may come.
  public struct Code: RawRepresentable, Sendable, Hashable {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// The operating system refused to open, read, map, write or rename a file.
    public static let io = Code(rawValue: "io")
    /// The bytes are not a valid safetensors file.
    public static let malformed = Code(rawValue: "malformed")
    /// The file has no tensor of this name.
    public static let notFound = Code(rawValue: "notFound")
    /// The tensor's dtype or shape is not what the caller asked for.
    public static let mismatch = Code(rawValue: "mismatch")
    /// The file is valid but asks for something that is not supported, such as a dtype.
    public static let unsupported = Code(rawValue: "unsupported")
  }

  public let code: Code
  public let message: String
  /// The file.
  public let path: String
  /// The tensor that the message is about.
  public let tensor: String?
  /// `errno` of the call that failed.
  public let systemCode: Int32?

  public init(
    _ code: Code, _ message: String, path: String = "", tensor: String? = nil, systemCode: Int32? = nil
  ) {
    self.code = code
    self.message = message
    self.path = path
    self.tensor = tensor
    self.systemCode = systemCode
  }

  init(_ error: FileError) {
    self.init(.io, error.message, path: error.path, systemCode: error.systemCode)
  }

  public var description: String {
    let place = path.isEmpty ? "" : "\(path): "
    let name = tensor.map { "tensor \"\($0)\": " } ?? ""
    return place + name + message
  }

  /// The same error, naming the file.
  func at(_ path: String) -> SafetensorsError {
    SafetensorsError(code, message, path: path, tensor: tensor, systemCode: systemCode)
  }
}

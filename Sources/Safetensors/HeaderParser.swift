import StrictJSON

/// One tensor as the header describes it, not yet checked against the file.
struct HeaderEntry: Equatable {
  var name: String
  var dtype: String
  var shape: [Int]
  var begin: Int
  var end: Int
}

/// Reads a safetensors header, and only that: an object whose values are tensor descriptions, and one `__metadata__` object of
/// strings. What JSON is, is the scanner's; names that stand twice, fractions, negative and overflowing integers are refused,
/// which a general JSON reader would let pass.
struct HeaderParser {
  /// Dimensions of one tensor. No checkpoint has more than a handful.
  static let maximumRank = 16
  /// Tensors of one file.
  static let maximumTensors = 1 << 20

  private(set) var entries: [HeaderEntry] = []
  private(set) var metadata: [String: String] = [:]

  /// Reads the whole header; trailing spaces are padding.
  mutating func parse(_ header: Span<UInt8>) throws(SafetensorsError) {
    guard !header.isEmpty, header[0] == UInt8(ascii: "{") else {
      throw SafetensorsError(.malformed, "the header does not begin with '{'")
    }
    /// The tensor being read, for errors.
    var tensor: String?
    do throws(JSONError) {
      var scanner = JSONScanner(header)
      try scanner.beginObject()
      while let name = try scanner.nextName() {
        if name == "__metadata__" {
          try parseMetadata(&scanner)
        } else {
          tensor = name
          try parseEntry(name, &scanner)
          tensor = nil
        }
      }
      try scanner.finish()
    } catch {
      throw SafetensorsError(
        .malformed, "\(error.message) (byte \(error.offset) of the header)", tensor: tensor)
    }
  }

  private mutating func parseMetadata(_ scanner: inout JSONScanner) throws(JSONError) {
    try scanner.beginObject()
    while let name = try scanner.nextName() { metadata[name] = try scanner.string() }
  }

  private mutating func parseEntry(_ name: String, _ scanner: inout JSONScanner) throws(JSONError) {
    guard entries.count < Self.maximumTensors else {
      throw scanner.failure("more than \(Self.maximumTensors) tensors")
    }
    var dtype: String?
    var shape: [Int]?
    var offsets: [Int]?
    try scanner.beginObject()
    while let field = try scanner.nextName() {
      switch field {
      case "dtype": dtype = try scanner.string()
      case "shape": shape = try integers(&scanner, atMost: Self.maximumRank)
      case "data_offsets": offsets = try integers(&scanner, atMost: 2)
      default: throw scanner.failure("unknown field \"\(field)\"")
      }
    }
    guard let dtype else { throw scanner.failure("no \"dtype\"") }
    guard let shape else { throw scanner.failure("no \"shape\"") }
    guard let offsets, offsets.count == 2 else {
      throw scanner.failure("no \"data_offsets\" of two integers")
    }
    entries.append(HeaderEntry(name: name, dtype: dtype, shape: shape, begin: offsets[0], end: offsets[1]))
  }

  private func integers(_ scanner: inout JSONScanner, atMost limit: Int) throws(JSONError) -> [Int] {
    var result: [Int] = []
    try scanner.beginArray()
    while try scanner.nextElement() {
      guard result.count < limit else { throw scanner.failure("more than \(limit) integers in an array") }
      result.append(try scanner.naturalNumber())
    }
    return result
  }
}

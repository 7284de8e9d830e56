import DurableFiles

/// A tensor that is to be written: its name, element type and shape.
public struct TensorDescription: Sendable, Hashable {
  public let name: String
  public let dtype: TensorDtype
  /// Extent of each dimension, slowest first; empty for a scalar.
  public let shape: [Int]

  public init(_ name: String, _ dtype: TensorDtype, shape: [Int]) {
    self.name = name
    self.dtype = dtype
    self.shape = shape
  }

  /// Bytes of all elements.
  ///
  /// - Throws: `mismatch` for a shape that is negative or overflows.
  func byteCount() throws(SafetensorsError) -> Int {
    var size = dtype.byteCount
    for extent in shape {
      let (product, overflow) = size.multipliedReportingOverflow(by: extent)
      guard extent >= 0, !overflow else {
        throw SafetensorsError(.mismatch, "shape \(shape) is negative or overflows", tensor: name)
      }
      size = product
    }
    return size
  }
}

/// Writes a safetensors file piece by piece: tensors are described first, then their elements follow in the same order, cut as
/// the caller likes. Memory does not grow with the file, which appears whole or not at all.
public struct SafetensorsStream: ~Copyable {
  private var file: AtomicFile
  private let path: String
  /// Bytes of tensors still to come.
  private var left: Int

  /// Elements that are converted together.
  private static let block = 1 << 16

  /// Begins a file; what stands at `path` stays until ``commit()``. A stream that is dropped before leaves nothing behind.
  ///
  /// - Parameters:
  ///   - tensors: in the order of their data.
  ///   - metadata: the header's `__metadata__`; left out when empty.
  /// - Throws: `io`; `mismatch` for a name that stands twice or is reserved, or a shape that cannot be.
  public init(
    path: String, _ tensors: [TensorDescription], metadata: [String: String] = [:]
  ) throws(SafetensorsError) {
    let (header, bytes) = try Self.header(tensors, metadata)
    do throws(FileError) {
      var file = try AtomicFile(path: path)
      try file.append(header)
      self.file = file
    } catch {
      throw SafetensorsError(error)
    }
    self.path = path
    left = bytes
  }

  /// The next elements' little-endian bytes.
  ///
  /// - Throws: `io`; `mismatch` beyond the end of the last tensor.
  public mutating func append(_ bytes: [UInt8]) throws(SafetensorsError) {
    guard bytes.count <= left else {
      throw SafetensorsError(.mismatch, "\(bytes.count) bytes where tensors take \(left) more", path: path)
    }
    left -= bytes.count
    do throws(FileError) { try file.append(bytes) } catch { throw SafetensorsError(error) }
  }

  /// The next elements of tensors of f32.
  public mutating func append(_ elements: UnsafeBufferPointer<Float>) throws(SafetensorsError) {
    for start in stride(from: 0, to: elements.count, by: Self.block) {
      let block = elements[start..<min(start + Self.block, elements.count)]
      try append(littleEndianBytes(block.map(\.bitPattern)))
    }
  }

  /// Syncs the file, puts it into its place and syncs the folder.
  ///
  /// - Throws: `io`, or `mismatch` when elements are missing; then `path` is as it was.
  public consuming func commit() throws(SafetensorsError) {
    guard left == 0 else {
      throw SafetensorsError(.mismatch, "\(left) bytes of tensors are missing", path: path)
    }
    do throws(FileError) { try file.commit() } catch { throw SafetensorsError(error) }
  }

  /// The header with its length, padded with spaces so that the data begin at a multiple of eight bytes; and how many bytes
  /// they have.
  private static func header(
    _ tensors: [TensorDescription], _ metadata: [String: String]
  ) throws(SafetensorsError) -> (header: [UInt8], bytes: Int) {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var names: Set = ["__metadata__"]
    var offset = 0
    for tensor in tensors {
      guard names.insert(tensor.name).inserted else {
        throw SafetensorsError(.mismatch, "the name is taken", tensor: tensor.name)
      }
      let (end, overflow) = offset.addingReportingOverflow(try tensor.byteCount())
      guard !overflow else {
        throw SafetensorsError(.mismatch, "the tensors' bytes overflow", tensor: tensor.name)
      }
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(quoted(tensor.name)):{\"dtype\":\"\(tensor.dtype.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var json = Array("{\(members.joined(separator: ","))}".utf8)
    while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
    return (littleEndianBytes([UInt64(json.count)]) + json, offset)
  }
}

/// `text` as a JSON string.
private func quoted(_ text: String) -> String {
  var result = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": result += "\\\""
    case "\\": result += "\\\\"
    case "\u{0}"..<" ":
      let digits = String(scalar.value, radix: 16)
      result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}

func littleEndianBytes<Element: FixedWidthInteger>(_ elements: [Element]) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: elements.count * MemoryLayout<Element>.size) { buffer, count in
    for (index, element) in elements.enumerated() {
      UnsafeMutableRawBufferPointer(buffer).storeBytes(
        of: element.littleEndian, toByteOffset: index * MemoryLayout<Element>.size, as: Element.self)
    }
    // The capacity may be larger than what was asked for.
    count = elements.count * MemoryLayout<Element>.size
  }
}

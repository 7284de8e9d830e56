import Foundation

/// Collects tensors and writes them as one safetensors file, which appears whole or not at all.
public struct SafetensorsWriter: Sendable {
  private struct Entry: Sendable {
    var name: String
    var dtype: TensorDtype
    var shape: [Int]
    var bytes: [UInt8]
  }

  private var entries: [Entry] = []
  /// The header's `__metadata__`; left out when empty.
  public var metadata: [String: String] = [:]

  public init() {}

  /// Adds a tensor of f32.
  ///
  /// - Parameter shape: its product is `elements.count`.
  /// - Throws: `mismatch` for another count or a name that is taken.
  public mutating func add(_ name: String, shape: [Int], _ elements: [Float]) throws(SafetensorsError) {
    try add(name, dtype: .float32, shape: shape, bytes: littleEndianBytes(elements.map(\.bitPattern)))
  }

  /// Adds a tensor of i32.
  public mutating func add(_ name: String, shape: [Int], _ elements: [Int32]) throws(SafetensorsError) {
    try add(name, dtype: .int32, shape: shape, bytes: littleEndianBytes(elements))
  }

  /// Adds a tensor of any dtype from its little-endian bytes.
  ///
  /// - Throws: `mismatch` when the shape does not take this many bytes or the name is taken or reserved.
  public mutating func add(
    _ name: String, dtype: TensorDtype, shape: [Int], bytes: [UInt8]
  ) throws(SafetensorsError) {
    guard name != "__metadata__", !entries.contains(where: { $0.name == name }) else {
      throw SafetensorsError(.mismatch, "the name is taken", tensor: name)
    }
    var size = dtype.byteCount
    for extent in shape {
      let (product, overflow) = size.multipliedReportingOverflow(by: extent)
      guard extent >= 0, !overflow else {
        throw SafetensorsError(.mismatch, "shape \(shape) is negative or overflows", tensor: name)
      }
      size = product
    }
    guard size == bytes.count else {
      throw SafetensorsError(
        .mismatch, "shape \(shape) takes \(size) bytes, not \(bytes.count)", tensor: name)
    }
    entries.append(Entry(name: name, dtype: dtype, shape: shape, bytes: bytes))
  }

  /// The header with its length, padded with spaces so that the data begin at a multiple of eight bytes.
  private func header() -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for entry in entries {
      let shape = entry.shape.map(String.init).joined(separator: ",")
      let end = offset + entry.bytes.count
      members.append(
        "\(quoted(entry.name)):{\"dtype\":\"\(entry.dtype.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var json = Array("{\(members.joined(separator: ","))}".utf8)
    while json.count % 8 != 0 { json.append(UInt8(ascii: " ")) }
    return littleEndianBytes([UInt64(json.count)]) + json
  }

  /// Writes the file beside its final place, syncs it, renames it over `path` and syncs the folder.
  ///
  /// - Throws: `io`; then `path` is as it was and no temporary file stays behind.
  public func write(to path: String) throws(SafetensorsError) {
    let temporary = "\(path).\(getpid())-\(UInt32.random(in: 0...UInt32.max)).tmp"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw systemError("cannot create \(temporary)", path) }
    do throws(SafetensorsError) {
      defer { close(descriptor) }
      try writeAll(header(), to: descriptor, path)
      for entry in entries { try writeAll(entry.bytes, to: descriptor, path) }
      guard fsync(descriptor) == 0 else { throw systemError("cannot sync", path) }
    } catch {
      unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else {
      let error = systemError("cannot rename \(temporary)", path)
      unlink(temporary)
      throw error
    }
    let folder = (path as NSString).deletingLastPathComponent
    let folderDescriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folderDescriptor >= 0 else { throw systemError("cannot open the folder", path) }
    defer { close(folderDescriptor) }
    guard fsync(folderDescriptor) == 0 else { throw systemError("cannot sync the folder", path) }
  }

  private func writeAll(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws(SafetensorsError) {
    var done = 0
    while done < bytes.count {
      let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done) }
      if written < 0 {
        if errno == EINTR { continue }
        throw systemError("cannot write", path)
      }
      done += written
    }
  }

  private func systemError(_ what: String, _ path: String) -> SafetensorsError {
    let code = errno
    return SafetensorsError(.io, "\(what): \(String(cString: strerror(code)))", path: path, systemCode: code)
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

private func littleEndianBytes<Element: FixedWidthInteger>(_ elements: [Element]) -> [UInt8] {
  [UInt8](unsafeUninitializedCapacity: elements.count * MemoryLayout<Element>.size) { buffer, count in
    for (index, element) in elements.enumerated() {
      UnsafeMutableRawBufferPointer(buffer).storeBytes(
        of: element.littleEndian, toByteOffset: index * MemoryLayout<Element>.size, as: Element.self)
    }
    count = buffer.count
  }
}

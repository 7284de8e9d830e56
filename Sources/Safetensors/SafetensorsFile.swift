/// A safetensors file, mapped and read in place.
///
/// The format (huggingface/safetensors, README "Format"): eight bytes little-endian header length, a JSON header, and the
/// tensors' bytes without holes. Every byte of the header is checked before a view exists: lengths against the file, dtype,
/// shape and offsets of each tensor for overflow and agreement, and that the tensors cover the data exactly once.
public final class SafetensorsFile: Sendable {
  /// Longest header that is read, as in the reference implementation.
  public static let maximumHeaderBytes = 100_000_000

  public let path: String
  /// Tensor names, in the order of their data.
  public let names: [String]
  /// The header's `__metadata__`.
  public let metadata: [String: String]
  /// Bytes of all tensors.
  public let dataBytes: Int
  private let slices: [String: TensorSlice]

  /// Maps and checks the file; no tensor is read.
  ///
  /// - Throws: `io` when the file cannot be opened or mapped; `malformed` or `unsupported`, naming the tensor, when its header
  ///   does not describe it.
  public init(path: String) throws(SafetensorsError) {
    self.path = path
    let mapping = try FileMapping(path: path)
    do throws(SafetensorsError) {
      let (header, data) = try Self.split(mapping.bytes)
      var parser = HeaderParser()
      // SAFETY: `mapping` is alive and the header lies inside of it.
      try parser.parse(
        Span(_unsafeBytes: UnsafeRawBufferPointer(rebasing: mapping.bytes[header])))
      var slices: [String: TensorSlice] = [:]
      slices.reserveCapacity(parser.entries.count)
      for entry in parser.entries {
        let slice = try Self.check(entry, data: data, mapping: mapping)
        guard slices.updateValue(slice, forKey: entry.name) == nil else {
          throw SafetensorsError(.malformed, "its name stands twice, written differently", tensor: entry.name)
        }
      }
      let ordered = slices.values.sorted {
        ($0.range.lowerBound, $0.range.upperBound, $0.name) < (
          $1.range.lowerBound, $1.range.upperBound, $1.name
        )
      }
      try Self.checkCoverage(ordered, data: data)
      self.names = ordered.map(\.name)
      self.metadata = parser.metadata
      dataBytes = data.count
      self.slices = slices
    } catch {
      throw error.at(path)
    }
  }

  /// Where the header and the data lie in the file.
  private static func split(
    _ bytes: UnsafeRawBufferPointer
  ) throws(SafetensorsError) -> (header: Range<Int>, data: Range<Int>) {
    guard bytes.count >= 8 else {
      throw SafetensorsError(.malformed, "\(bytes.count) bytes are too few for a header length")
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= UInt64(maximumHeaderBytes) else {
      throw SafetensorsError(.malformed, "header of \(length) bytes; at most \(maximumHeaderBytes) are read")
    }
    guard length <= UInt64(bytes.count - 8) else {
      throw SafetensorsError(.malformed, "header of \(length) bytes in a file of \(bytes.count)")
    }
    let end = 8 + Int(length)
    return (8..<end, end..<bytes.count)
  }

  private static func check(
    _ entry: HeaderEntry, data: Range<Int>, mapping: FileMapping
  ) throws(SafetensorsError) -> TensorSlice {
    func failure(_ code: SafetensorsError.Code, _ message: String) -> SafetensorsError {
      SafetensorsError(code, message, tensor: entry.name)
    }
    guard let dtype = TensorDtype(rawValue: entry.dtype) else {
      throw failure(.unsupported, "dtype \"\(entry.dtype)\" is not supported")
    }
    var size = dtype.byteCount
    for extent in entry.shape {
      let (product, overflow) = size.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw failure(.malformed, "shape \(entry.shape) overflows") }
      size = product
    }
    guard entry.begin <= entry.end else {
      throw failure(.malformed, "data_offsets [\(entry.begin), \(entry.end)] run backwards")
    }
    guard entry.end <= data.count else {
      throw failure(.malformed, "data_offsets end at \(entry.end), the data at \(data.count)")
    }
    guard entry.end - entry.begin == size else {
      throw failure(
        .malformed,
        "shape \(entry.shape) of \(dtype.rawValue) takes \(size) bytes, data_offsets span \(entry.end - entry.begin)"
      )
    }
    let range = data.lowerBound + entry.begin..<data.lowerBound + entry.end
    return TensorSlice(name: entry.name, dtype: dtype, shape: entry.shape, range: range, mapping: mapping)
  }

  /// Tensors lie back to back: no byte belongs to two of them or to none.
  private static func checkCoverage(_ ordered: [TensorSlice], data: Range<Int>) throws(SafetensorsError) {
    var covered = data.lowerBound
    for slice in ordered {
      guard slice.range.lowerBound >= covered else {
        throw SafetensorsError(.malformed, "its data overlap another tensor's", tensor: slice.name)
      }
      guard slice.range.lowerBound == covered else {
        throw SafetensorsError(
          .malformed, "\(slice.range.lowerBound - covered) bytes before its data belong to no tensor",
          tensor: slice.name)
      }
      covered = slice.range.upperBound
    }
    guard covered == data.upperBound else {
      throw SafetensorsError(.malformed, "\(data.upperBound - covered) bytes at the end belong to no tensor")
    }
  }

  public func contains(_ name: String) -> Bool { slices[name] != nil }

  /// The tensor of this name.
  ///
  /// - Throws: `notFound`.
  public func tensor(_ name: String) throws(SafetensorsError) -> TensorSlice {
    guard let slice = slices[name] else {
      throw SafetensorsError(.notFound, "not in the file", path: path, tensor: name)
    }
    return slice
  }

  /// The tensor's elements as f32, row-major. F32, BF16 and F16 convert exactly, F64 is rounded.
  ///
  /// - Throws: `notFound`; `mismatch` for other dtypes.
  public func floats(_ name: String) throws(SafetensorsError) -> [Float] {
    let slice = try tensor(name)
    guard slice.dtype.isFloat else {
      throw SafetensorsError(.mismatch, "\(slice.dtype.rawValue) read as floats", path: path, tensor: name)
    }
    return slice.floats()
  }

  /// The tensor's elements as integers, row-major; BOOL gives 0 or 1.
  ///
  /// - Throws: `notFound`; `mismatch` for dtypes other than I64, I32, U8 and BOOL.
  public func integers(_ name: String) throws(SafetensorsError) -> [Int] {
    let slice = try tensor(name)
    guard !slice.dtype.isFloat else {
      throw SafetensorsError(.mismatch, "\(slice.dtype.rawValue) read as integers", path: path, tensor: name)
    }
    return (0..<slice.count).map { slice.integer(at: $0) }
  }
}

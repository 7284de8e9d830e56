/// One message of a TensorBoard event file: `tensorflow.Event` with the few fields that scalars take, encoded as protobuf
/// (protobuf.dev/programming-guides/encoding). The fields are those of `tensorflow/core/util/event.proto` and
/// `tensorflow/core/framework/summary.proto`:
///
///     Event      { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5;
///                  SessionLog session_log = 7; }
///     Summary    { repeated Value value = 1; }
///     Value      { string tag = 1; float simple_value = 2; }
///     SessionLog { SessionStatus status = 1; /* START = 1 */ }
struct EventMessage {
  enum Content {
    /// The first message of every file.
    case fileVersion
    /// A run goes on here: TensorBoard forgets this and later steps of earlier files.
    case start
    case scalars([(tag: String, value: Double)])
  }

  /// Seconds since 1970.
  var wallTime: Double
  var step: Int
  var content: Content

  /// The message's bytes.
  var encoded: [UInt8] {
    var message = Self.fixed(1, wallTime.bitPattern)
    message += Self.varint(2, UInt64(bitPattern: Int64(step)))
    switch content {
    case .fileVersion: message += Self.bytes(3, Array("brain.Event:2".utf8))
    case .start: message += Self.bytes(7, Self.varint(1, 1))
    case .scalars(let scalars):
      let values = scalars.flatMap { scalar in
        Self.bytes(
          1, Self.bytes(1, Array(scalar.tag.utf8)) + Self.fixed(2, Float(scalar.value).bitPattern))
      }
      message += Self.bytes(5, values)
    }
    return message
  }

  /// The message as a record of a TFRecord file: length, u64, and its masked checksum; the bytes and theirs
  /// (`tensorflow/core/lib/io/record_writer.cc`). Little-endian.
  var record: [UInt8] {
    let data = encoded
    let length = Self.littleEndian(UInt64(data.count))
    return length + Self.littleEndian(CRC32C.masked(length)) + data
      + Self.littleEndian(CRC32C.masked(data))
  }

  // MARK: Fields: a tag (number and wire type), then the value

  private static func varint(_ number: UInt64, _ value: UInt64) -> [UInt8] {
    base128(number << 3) + base128(value)
  }

  private static func fixed(_ number: UInt64, _ bits: UInt64) -> [UInt8] {
    base128(number << 3 | 1) + littleEndian(bits)
  }

  private static func fixed(_ number: UInt64, _ bits: UInt32) -> [UInt8] {
    base128(number << 3 | 5) + littleEndian(bits)
  }

  private static func bytes(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
    base128(number << 3 | 2) + base128(UInt64(bytes.count)) + bytes
  }

  private static func base128(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
}

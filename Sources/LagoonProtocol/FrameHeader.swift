/// The first 32 bytes of every frame, little-endian:
///
/// | bytes  | type | field                                               |
/// |--------|------|-----------------------------------------------------|
/// | 0..<4  | u32  | magic, `"LGN1"` (0x314E474C)                        |
/// | 4..<6  | u16  | version, 1                                          |
/// | 6..<8  | u16  | flags, 0                                            |
/// | 8..<16 | u64  | request id, chosen by the client, repeated in replies |
/// | 16..<20 | u32 | bytes of the message that follows                   |
/// | 20..<24 | u32 | reserved, 0                                         |
/// | 24..<32 | u64 | bytes of the tensors that follow the message        |
public struct FrameHeader: Sendable, Hashable {
  public static let byteCount = 32
  public static let magic: UInt32 = 0x314E_474C
  public static let version: UInt16 = 1

  public var requestID: UInt64
  public var messageBytes: Int
  public var tensorBytes: Int

  public init(requestID: UInt64, messageBytes: Int, tensorBytes: Int) {
    precondition(messageBytes >= 0 && messageBytes <= Int(UInt32.max) && tensorBytes >= 0)
    self.requestID = requestID
    self.messageBytes = messageBytes
    self.tensorBytes = tensorBytes
  }

  /// Reads a header and checks every field of it.
  ///
  /// - Parameters:
  ///   - bytes: exactly ``byteCount`` bytes.
  ///   - limits: the largest lengths that the reader takes; nothing is allocated for a frame above them.
  /// - Throws: what is wrong with it. A frame with a bad header cannot be skipped, so it ends its connection.
  public init(decoding bytes: UnsafeRawBufferPointer, limits: FrameLimits) throws(FrameError) {
    precondition(bytes.count == Self.byteCount)
    func field<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
      T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
    let magic = field(0, UInt32.self)
    guard magic == Self.magic else {
      throw FrameError(
        .magic, requestID: 0, "the frame starts with \(hex(magic)), not \(hex(Self.magic)) (\"LGN1\")")
    }
    let requestID = field(8, UInt64.self)
    let version = field(4, UInt16.self)
    guard version == Self.version else {
      throw FrameError(
        .version, requestID: requestID,
        "frame version \(version) is not spoken here; this side speaks \(Self.version)")
    }
    let flags = field(6, UInt16.self)
    guard flags == 0 else {
      throw FrameError(.flags, requestID: requestID, "the frame's flags are \(hex(UInt32(flags))), not 0")
    }
    let reserved = field(20, UInt32.self)
    guard reserved == 0 else {
      throw FrameError(
        .reserved, requestID: requestID, "the frame's reserved field is \(hex(reserved)), not 0")
    }
    let messageBytes = field(16, UInt32.self)
    guard messageBytes <= limits.messageBytes else {
      throw FrameError(
        .messageTooLarge, requestID: requestID,
        "a message of \(messageBytes) bytes is above the limit of \(limits.messageBytes)")
    }
    let tensorBytes = field(24, UInt64.self)
    guard tensorBytes <= limits.tensorBytes else {
      throw FrameError(
        .tensorsTooLarge, requestID: requestID,
        "\(tensorBytes) tensor bytes in one frame are above the limit of \(limits.tensorBytes)")
    }
    self.init(requestID: requestID, messageBytes: Int(messageBytes), tensorBytes: Int(tensorBytes))
  }

  /// The header's ``byteCount`` bytes.
  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(Self.byteCount)
    func append(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    append(Self.magic)
    append(Self.version)
    append(UInt16(0))
    append(requestID)
    append(UInt32(messageBytes))
    append(UInt32(0))
    append(UInt64(tensorBytes))
    return bytes
  }
}

/// The largest lengths that a reader of frames takes, in bytes.
public struct FrameLimits: Sendable, Hashable {
  public var messageBytes: Int
  public var tensorBytes: Int

  public static let standard = FrameLimits(messageBytes: 1 << 20, tensorBytes: 64 << 20)

  public init(messageBytes: Int, tensorBytes: Int) {
    precondition(messageBytes >= 0 && tensorBytes >= 0)
    self.messageBytes = messageBytes
    self.tensorBytes = tensorBytes
  }
}

/// What is wrong with a frame's header.
public struct FrameError: Error, Sendable, CustomStringConvertible {
  public enum Field: Sendable, Hashable, CaseIterable {
    case magic, version, flags, reserved, messageTooLarge, tensorsTooLarge
  }
  public let field: Field
  /// The frame's request id, 0 if the magic is wrong and the rest means nothing.
  public let requestID: UInt64
  public let description: String

  init(_ field: Field, requestID: UInt64, _ description: String) {
    self.field = field
    self.requestID = requestID
    self.description = description
  }

  /// The code that a reply to such a frame carries.
  public var code: WireErrorCode { field == .version ? .unsupportedVersion : .badFrame }
}

private func hex(_ value: UInt32) -> String { "0x" + String(value, radix: 16, uppercase: true) }

import Foundation
import LagoonProtocol
import SwiftProtobuf
import Testing

@Suite struct FrameHeaderTests {
  static let limits = FrameLimits(messageBytes: 1000, tensorBytes: 5000)

  static func decode(_ bytes: [UInt8]) throws(FrameError) -> FrameHeader {
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(FrameError) in try FrameHeader(decoding: bytes, limits: limits) }
    }
    return try result.get()
  }

  @Test(arguments: [(0, 0), (1, 0), (1000, 5000), (999, 1)])
  func headersSurviveTheWire(message: Int, tensors: Int) throws {
    for requestID in [0, 1, 0xFEDC_BA98_7654_3210, UInt64.max] {
      let header = FrameHeader(requestID: requestID, messageBytes: message, tensorBytes: tensors)
      #expect(try Self.decode(header.encoded) == header)
    }
  }

  @Test func bytesAreThoseOfTheSpecification() {
    let header = FrameHeader(requestID: 0x0102_0304_0506_0708, messageBytes: 0x0A0B, tensorBytes: 0x0C0D0E)
    #expect(
      header.encoded == [
        0x4C, 0x47, 0x4E, 0x31,  // "LGN1"
        1, 0, 0, 0,
        8, 7, 6, 5, 4, 3, 2, 1,
        0x0B, 0x0A, 0, 0, 0, 0, 0, 0,
        0x0E, 0x0D, 0x0C, 0, 0, 0, 0, 0,
      ])
  }

  /// docs/protocol.md shows a frame byte by byte; a client in another language may start from it.
  @Test func documentationShowsARealFrame() throws {
    var request = WireRequest()
    request.hello.protocolVersion = 1
    request.hello.clientName = "me"
    let message: [UInt8] = try request.serializedBytes()
    func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02X", $0) }.joined(separator: " ") }
    let header = FrameHeader(requestID: 1, messageBytes: message.count, tensorBytes: 0).encoded
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = try String(contentsOf: root.appendingPathComponent("docs/protocol.md"), encoding: .utf8)
    #expect(page.contains("```\n\(hex(header))\n\(hex(message))\n```"))
  }

  @Test(arguments: 0..<32)
  func everyCorruptByteOfAFixedFieldIsRefused(offset: Int) throws {
    var bytes = FrameHeader(requestID: 77, messageBytes: 12, tensorBytes: 34).encoded
    bytes[offset] ^= 0x80
    let field: FrameError.Field? =
      switch offset {
      case 0..<4: .magic
      case 4..<6: .version
      case 6..<8: .flags
      case 16: nil  // 12 + 128 is within the limit
      case 17..<20: .messageTooLarge
      case 20..<24: .reserved
      case 24: nil
      case 25..<32: .tensorsTooLarge
      default: nil
      }
    do throws(FrameError) {
      let header = try Self.decode(bytes)
      #expect(field == nil)
      #expect(header != FrameHeader(requestID: 77, messageBytes: 12, tensorBytes: 34))
    } catch {
      #expect(error.field == field)
      #expect(error.code == (field == .version ? .unsupportedVersion : .badFrame))
      #expect(error.requestID == (field == .magic ? 0 : 77))
    }
  }

  @Test func lengthsAboveTheLimitsAreRefusedAndAtTheLimitsTaken() throws {
    #expect(
      try Self.decode(FrameHeader(requestID: 1, messageBytes: 1000, tensorBytes: 5000).encoded).messageBytes
        == 1000)
    #expect(throws: FrameError.self) {
      try Self.decode(FrameHeader(requestID: 1, messageBytes: 1001, tensorBytes: 0).encoded)
    }
    #expect(throws: FrameError.self) {
      try Self.decode(FrameHeader(requestID: 1, messageBytes: 0, tensorBytes: 5001).encoded)
    }
  }
}

import Foundation
import RunRecord
import Testing

/// The files for TensorBoard, read by a parser that shares nothing with the writer.
@Suite struct EventFileTests {
  /// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
  private static let vectors: [([UInt8], UInt32)] = [
    (Array(repeating: 0, count: 32), 0x8A91_36AA), (Array(repeating: 0xFF, count: 32), 0x62A8_AB43),
    (Array(0..<32), 0x46DD_794E), (Array((0..<32).reversed()), 0x113F_DB5C),
    (Array("123456789".utf8), 0xE306_9283), ([], 0),
  ]

  /// By the definition: the remainder of a division of polynomials, bit by bit.
  private static func bitwise(_ bytes: [UInt8]) -> UInt32 {
    var remainder: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      for bit in 0..<8 {
        let carry = (remainder ^ UInt32(byte >> UInt8(bit))) & 1
        remainder >>= 1
        if carry == 1 { remainder ^= 0x82F6_3B78 }
      }
    }
    return ~remainder
  }

  @Test(arguments: vectors) func checksumsAreTheStandards(_ bytes: [UInt8], _ expected: UInt32) {
    #expect(CRC32C.checksum(bytes) == expected)
    #expect(Self.bitwise(bytes) == expected)
  }

  @Test func checksumsAreTheDefinitions() {
    for length in 0..<200 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0...255) }
      #expect(CRC32C.checksum(bytes) == Self.bitwise(bytes))
    }
  }

  // MARK: An event file's reader

  private struct Event: Equatable {
    var wallTime = 0.0
    var step: UInt64 = 0
    var fileVersion: String?
    var isStart = false
    var scalars: [String: Float] = [:]
  }

  private struct Bad: Error {}

  private static func unsigned(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// The records' bytes. Every checksum must hold.
  private static func records(_ file: [UInt8]) throws -> [ArraySlice<UInt8>] {
    func check(_ range: Range<Int>) throws {
      guard range.upperBound + 4 <= file.count else { throw Bad() }
      let masked = UInt32(unsigned(file[range.upperBound..<range.upperBound + 4]))
      let rotated = masked &- 0xA282_EAD8
      guard rotated << 15 | rotated >> 17 == bitwise(Array(file[range])) else { throw Bad() }
    }
    var records: [ArraySlice<UInt8>] = []
    var at = 0
    while at < file.count {
      try check(at..<at + 8)
      let start = at + 12
      let end = start + Int(unsigned(file[at..<at + 8]))
      try check(start..<end)
      records.append(file[start..<end])
      at = end + 4
    }
    return records
  }

  /// Number, and the integer's or the fixed bits' value or the bytes.
  private static func fields(_ message: ArraySlice<UInt8>) throws -> [(UInt64, UInt64, ArraySlice<UInt8>)] {
    var rest = message
    func varint() throws -> UInt64 {
      var value: UInt64 = 0
      for shift in stride(from: UInt64(0), to: 64, by: 7) {
        guard let byte = rest.popFirst() else { throw Bad() }
        value += UInt64(byte % 128) << shift
        if byte < 128 { return value }
      }
      throw Bad()
    }
    var fields: [(UInt64, UInt64, ArraySlice<UInt8>)] = []
    while !rest.isEmpty {
      let tag = try varint()
      if tag % 8 == 0 {
        fields.append((tag / 8, try varint(), []))
        continue
      }
      let count = tag % 8 == 1 ? 8 : tag % 8 == 5 ? 4 : tag % 8 == 2 ? Int(try varint()) : -1
      guard count >= 0, rest.count >= count else { throw Bad() }
      let bytes = rest.prefix(count)
      rest = rest.dropFirst(count)
      fields.append((tag / 8, tag % 8 == 2 ? 0 : unsigned(bytes), bytes))
    }
    return fields
  }

  private static func events(_ path: String) throws -> [Event] {
    try records(Array(try Data(contentsOf: URL(filePath: path)))).map { record in
      var event = Event()
      for (number, value, bytes) in try fields(record) {
        switch number {
        case 1: event.wallTime = Double(bitPattern: value)
        case 2: event.step = value
        case 3: event.fileVersion = String(decoding: bytes, as: UTF8.self)
        case 5:
          for (_, _, scalar) in try fields(bytes) {
            let parts = try fields(scalar)
            let tag = String(decoding: parts.first { $0.0 == 1 }?.2 ?? [], as: UTF8.self)
            event.scalars[tag] = Float(bitPattern: UInt32(parts.first { $0.0 == 2 }?.1 ?? 0))
          }
        case 7: event.isStart = try fields(bytes).contains { $0.0 == 1 && $0.1 == 1 }
        default: throw Bad()
        }
      }
      return event
    }
  }

  private func eventFiles(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).filter {
      $0.hasPrefix("events.out.tfevents.")
    }
    .sorted().map { folder + "/" + $0 }
  }

  @Test func scalarsStandInTheFile() throws {
    try withFolder { folder in
      let log = try RunLog(folder: folder, keepingThroughStep: 0) { 1_700_000_000.25 }
      try log.append(evaluation(0, drift: 0.5))
      try log.append(step(1))
      try log.append(EventRecord(step: 1, what: .spike, detail: ""))
      try log.append(step(300, loss: .nan))
      let path = try #require(try eventFiles(folder).first)
      #expect(path.contains("/events.out.tfevents.1700000000."))
      #expect(path.hasSuffix(".\(getpid()).lagoon"))
      let events = try Self.events(path)
      let time = 1_700_000_000.25
      #expect(events.count == 5)
      #expect(events[0] == Event(wallTime: time, fileVersion: "brain.Event:2"))
      #expect(events[1] == Event(wallTime: time, isStart: true))
      #expect(
        events[2]
          == Event(
            wallTime: time,
            scalars: ["loss/held_out": 2.25, "bits_per_byte/held_out": 3.2, "kept_set_drift": 0.5]))
      let scalars: [String: Float] = [
        "loss/train": 2.5, "learning_rate": 3e-4, "gradient_norm": 0.7, "tokens_per_second": 6553.6,
      ]
      #expect(events[3] == Event(wallTime: time, step: 1, scalars: scalars))
      #expect(events[4].step == 300)
      #expect(events[4].scalars["loss/train"]?.isNaN == true)
    }
  }

  /// TensorBoard reads files in order of their names and forgets, at a start event, what earlier files had from its step on.
  @Test func aResumedRunBeginsALaterFile() throws {
    try withFolder { folder in
      var time = 1_700_000_000.0
      for kept in [0, 4, 4, 2] {
        let log = try RunLog(folder: folder, keepingThroughStep: kept) { time }
        for index in kept + 1...5 { try log.append(step(index)) }
        // A clock that stands still, then goes back.
        if kept == 4 { time -= 3600 }
      }
      let files = try eventFiles(folder)
      #expect(files.count == 4)
      #expect(try files.map { try Self.events($0)[1].step } == [0, 5, 5, 3])
      #expect(try files.allSatisfy { try Self.events($0)[1].isStart })
      #expect(try files.map { try Self.events($0).count } == [7, 3, 3, 5])
    }
  }

  @Test func everyBitIsUnderAChecksum() throws {
    try withFolder { folder in
      let log = try RunLog(folder: folder, keepingThroughStep: 0) { 1 }
      try log.append(step(1))
      let path = try #require(try eventFiles(folder).first)
      var bytes = Array(try Data(contentsOf: URL(filePath: path)))
      for index in bytes.indices {
        bytes[index] ^= 0x10
        #expect(throws: Bad.self) { try Self.records(bytes) }
        bytes[index] ^= 0x10
      }
    }
  }
}

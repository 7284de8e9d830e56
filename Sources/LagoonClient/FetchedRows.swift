import LagKV
import LagoonProtocol

/// Rows that a layer keeps, of one moment of the session.
public struct FetchedRows: Sendable, Hashable {
  /// Which of the layer's rows these are, of every head.
  public let rows: Range<Int>
  /// Rows that the layer has, per head.
  public let totalRows: Int
  /// Of these, the window's, which come last.
  public let windowRows: Int
  /// The session's token count.
  public let tokens: Int
  public let kvHeads: Int
  public let headDim: Int
  public let elementType: ElementType
  /// Absolute, `[kvHeads, rows]`.
  public let positions: [UInt32]
  /// `[kvHeads, rows, headDim]` in ``elementType``; empty if only positions were asked for.
  public let keys: [UInt8]
  public let values: [UInt8]

  /// Ascending positions of one head's rows.
  public func positions(head: Int) -> ArraySlice<UInt32> {
    positions[head * rows.count..<(head + 1) * rows.count]
  }

  /// ``keys`` as floats.
  public var keyFloats: [Float] { Self.floats(keys, elementType) }
  /// ``values`` as floats.
  public var valueFloats: [Float] { Self.floats(values, elementType) }

  private static func floats(_ bytes: [UInt8], _ type: ElementType) -> [Float] {
    bytes.withUnsafeBytes { bytes in
      (0..<bytes.count / type.byteCount).map { index in
        switch type {
        case .float32:
          Float(
            bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)))
        case .bfloat16:
          Float(
            bitPattern: UInt32(
              UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)))
              << 16)
        case .float16:
          Float(
            Float16(
              bitPattern: UInt16(
                littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))))
        }
      }
    }
  }
}

/// Asks for a range of rows as often as it takes and puts the replies together.
struct RowFetcher {
  let connection: LagoonConnection
  let handle: UInt32
  let parameters: SessionParameters
  let layer: Int
  let positionsOnly: Bool

  /// Bytes of one row of one head in `keys` (and as many in `values`).
  private var rowBytes: Int { positionsOnly ? 0 : parameters.headDim * parameters.elementType.byteCount }

  func fetch(_ range: Range<Int>?, ifTokens: Int?) throws(LagoonError) -> FetchedRows {
    let first = range?.lowerBound ?? 0
    guard first >= 0, let layer = UInt32(exactly: layer) else {
      throw LagoonError(.invalidArgument, "rows from \(first) of layer \(layer) cannot be")
    }
    var part = try part(layer, first, range?.upperBound ?? Int.max, ifTokens)
    let reply = part.reply
    let total = Int(clamping: reply.totalRows)
    let end = max(first, min(range?.upperBound ?? total, total))
    var rows = HeadRows(heads: parameters.kvHeads, rows: end - first, rowBytes: rowBytes)
    var next = first
    while true {
      rows.place(part.bytes, rows: part.rows, at: next - first)
      next += part.rows
      guard next < end else { break }
      // Later replies must show the session as the first one did.
      part = try self.part(layer, next, end, Int(clamping: reply.tokens))
      guard part.rows > 0 else { throw connection.exchange.unexpectedReply("fetch") }
    }
    return FetchedRows(
      rows: first..<end, totalRows: total, windowRows: Int(clamping: reply.windowRows),
      tokens: Int(clamping: reply.tokens), kvHeads: parameters.kvHeads, headDim: parameters.headDim,
      elementType: parameters.elementType, positions: rows.positions, keys: rows.keys, values: rows.values)
  }

  private func part(
    _ layer: UInt32, _ first: Int, _ end: Int, _ ifTokens: Int?
  ) throws(LagoonError) -> (reply: WireFetchReply, rows: Int, bytes: [UInt8]) {
    var call = WireFetch()
    call.handle = handle
    call.layer = layer
    call.firstRow = UInt64(first)
    call.rows = UInt64(max(0, end - first))
    call.positionsOnly = positionsOnly
    if let ifTokens { call.ifTokens = try wireCount(ifTokens, "a session") }
    let exchange = connection.exchange
    guard case .rows(let reply)? = try exchange.call(.fetch(call)).result else {
      throw exchange.unexpectedReply("fetch")
    }
    let count = Int(clamping: reply.rows)
    let (bytes, overflow) = count.multipliedReportingOverflow(by: parameters.kvHeads * (4 + 2 * rowBytes))
    guard !overflow, bytes == exchange.pendingTensorBytes, count <= max(0, end - first) else {
      throw exchange.unexpectedReply("fetch")
    }
    var received = [UInt8](repeating: 0, count: bytes)
    let result = received.withUnsafeMutableBytes { buffer in
      Result { () throws(LagoonError) in try exchange.receiveTensors(into: buffer) }
    }
    try result.get()
    return (reply, count, received)
  }
}

/// `[heads, rows, …]` arrays filled from replies that hold some rows of every head.
private struct HeadRows {
  let heads: Int
  let rows: Int
  let rowBytes: Int
  var positions: [UInt32]
  var keys: [UInt8]
  var values: [UInt8]

  init(heads: Int, rows: Int, rowBytes: Int) {
    self.heads = heads
    self.rows = rows
    self.rowBytes = rowBytes
    positions = [UInt32](repeating: 0, count: heads * rows)
    keys = [UInt8](repeating: 0, count: heads * rows * rowBytes)
    values = keys
  }

  /// `bytes`: positions `[heads, rows]`, keys `[heads, rows, …]`, values.
  mutating func place(_ bytes: [UInt8], rows count: Int, at first: Int) {
    guard count > 0 else { return }
    bytes.withUnsafeBytes { bytes in
      for head in 0..<heads {
        for row in 0..<count {
          positions[head * rows + first + row] = UInt32(
            littleEndian: bytes.loadUnaligned(fromByteOffset: (head * count + row) * 4, as: UInt32.self))
        }
        let keysStart = heads * count * 4
        let valuesStart = keysStart + heads * count * rowBytes
        let length = count * rowBytes
        let target = (head * rows + first) * rowBytes
        keys.replaceSubrange(
          target..<target + length, with: bytes[(keysStart + head * length)...].prefix(length))
        values.replaceSubrange(
          target..<target + length, with: bytes[(valuesStart + head * length)...].prefix(length))
      }
    }
  }
}

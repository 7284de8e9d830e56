import LagKV
import LagoonProtocol

/// What rows are appended to and attended over: an open session or an overlay, by its handle.
struct Target {
  let connection: LagoonConnection
  let handle: UInt32

  private var exchange: Exchange { connection.exchange }

  func append(layer: Int, keys: HostTensor, values: HostTensor) throws(LagoonError) {
    var call = WireAppend()
    call.target = handle
    call.layer = try number(layer)
    let sent = try lay([keys, values], results: 0)
    call.keys = sent.tensors[0]
    call.values = sent.tensors[1]
    guard case .done? = try send(.append(call), [keys, values], sent).result else {
      throw exchange.unexpectedReply("append")
    }
  }

  func step(
    layer: Int, queries: HostTensor, keys: HostTensor, values: HostTensor, scale: Float?,
    into out: UnsafeMutableBufferPointer<Float>, logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) -> Int {
    let sizes = try resultBytes(queries, out, logSumExp)
    var call = WireStep()
    call.target = handle
    call.layer = try number(layer)
    if let scale { call.scale = scale }
    let sent = try lay([queries, keys, values], results: sizes.out + sizes.logSumExp)
    call.queries = sent.tensors[0]
    call.keys = sent.tensors[1]
    call.values = sent.tensors[2]
    if let offset = sent.resultOffset { call.output.arenaOffset = UInt64(offset) }
    let reply = try send(.step(call), [queries, keys, values], sent)
    return try take(reply, sent, out, logSumExp)
  }

  /// - Parameter rows: recomputed keys and values to be compared with the stored ones.
  func stepAt(
    layer: Int, first: Int, queries: HostTensor, rows: (keys: HostTensor, values: HostTensor)?, scale: Float?,
    into out: UnsafeMutableBufferPointer<Float>, logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) {
    let sizes = try resultBytes(queries, out, logSumExp)
    var call = WireStepAt()
    call.handle = handle
    call.layer = try number(layer)
    call.firstToken = try wireCount(first, "a session")
    if let scale { call.scale = scale }
    let tensors = [queries] + (rows.map { [$0.keys, $0.values] } ?? [])
    let sent = try lay(tensors, results: sizes.out + sizes.logSumExp)
    call.queries = sent.tensors[0]
    if rows != nil {
      call.keys = sent.tensors[1]
      call.values = sent.tensors[2]
    }
    if let offset = sent.resultOffset { call.output.arenaOffset = UInt64(offset) }
    _ = try take(try send(.stepAt(call), tensors, sent), sent, out, logSumExp)
  }

  func attend(
    layer: Int, queries: HostTensor, scale: Float?, ifTokens: Int?,
    into out: UnsafeMutableBufferPointer<Float>, logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) -> Int {
    let sizes = try resultBytes(queries, out, logSumExp)
    var call = WireAttend()
    call.target = handle
    call.layer = try number(layer)
    if let scale { call.scale = scale }
    if let ifTokens { call.ifTokens = try wireCount(ifTokens, "a session") }
    let sent = try lay([queries], results: sizes.out + sizes.logSumExp)
    call.queries = sent.tensors[0]
    if let offset = sent.resultOffset { call.output.arenaOffset = UInt64(offset) }
    return try take(try send(.attend(call), [queries], sent), sent, out, logSumExp)
  }

  /// The gradients of one chunk; the target is a backward pass.
  func stepBackward(
    layer: Int, first: Int, queries: HostTensor, attention: (out: HostTensor, logSumExp: HostTensor),
    gradient: (out: HostTensor, logSumExp: HostTensor?), scale: Float?,
    detachedBefore: Int, into results: [UnsafeMutableBufferPointer<Float>]
  ) throws(LagoonError) {
    var call = WireStepBackward()
    call.handle = handle
    call.layer = try number(layer)
    call.firstToken = try wireCount(first, "a session")
    call.detachedBefore = try wireCount(detachedBefore, "a session")
    if let scale { call.scale = scale }
    let tensors =
      [queries, attention.out, attention.logSumExp, gradient.out] + (gradient.logSumExp.map { [$0] } ?? [])
    let sent = try lay(tensors, results: results.reduce(0) { $0 + $1.count * 4 })
    call.queries = sent.tensors[0]
    call.out = sent.tensors[1]
    call.logSumExp = sent.tensors[2]
    call.dOut = sent.tensors[3]
    if gradient.logSumExp != nil { call.dLogSumExp = sent.tensors[4] }
    if let offset = sent.resultOffset { call.output.arenaOffset = UInt64(offset) }
    guard case .gradients(let reply)? = try send(.stepBackward(call), tensors, sent).result else {
      throw exchange.unexpectedReply("step_backward")
    }
    var end = sent.resultOffset ?? 0
    for (place, result) in zip([reply.dQueries.place, reply.dKeys.place, reply.dValues.place], results) {
      let result = UnsafeMutableRawBufferPointer(result)
      if sent.resultOffset != nil, let arena = connection.arena {
        guard place == .arenaOffset(UInt64(end)) else { throw exchange.unexpectedReply("step_backward") }
        result.copyMemory(from: UnsafeRawBufferPointer(rebasing: arena.bytes[end..<end + result.count]))
      } else {
        guard place == .inlineOffset(UInt64(end)) else { throw exchange.unexpectedReply("step_backward") }
        try exchange.receiveTensors(into: result)
      }
      end += result.count
    }
    guard reply.detachedBefore == call.detachedBefore else {
      throw LagoonError(
        .unsupportedVersion,
        "this daemon cannot drop gradients of earlier tokens: it is \(connection.daemon.version)")
    }
  }

  // MARK: Tensors on their way

  /// Where a call's tensors travel.
  private struct Sent {
    var tensors: [WireTensor] = []
    var offsets: [Int] = []
    /// Of `out` in the arena, with the log-sum-exp behind it; nil: the result comes inline.
    var resultOffset: Int?
    var inArena = false
  }

  private func lay(_ tensors: [HostTensor], results: Int) throws(LagoonError) -> Sent {
    var placement = Placement()
    var sent = Sent()
    for tensor in tensors { sent.offsets.append(placement.place(tensor.byteCount)) }
    let inlineBytes = placement.end
    if let arena = connection.arena {
      let resultOffset = placement.place(results)
      if placement.end <= arena.bytes.count {
        sent.inArena = true
        sent.resultOffset = results > 0 ? resultOffset : nil
      }
    }
    let limit = connection.daemon.limits.tensorBytes
    guard sent.inArena || max(inlineBytes, results) <= limit else {
      throw LagoonError(
        .tooLarge,
        "\(inlineBytes) bytes of tensors for \(results) of results are above the daemon's limit of \(limit) a frame:"
          + " cut the tokens into smaller calls, or connect with an arena that holds them")
    }
    for (tensor, offset) in zip(tensors, sent.offsets) {
      let place: WireTensor.OneOf_Place =
        sent.inArena ? .arenaOffset(UInt64(offset)) : .inlineOffset(UInt64(offset))
      guard let message = tensor.wire(at: place) else {
        throw LagoonError(.invalidArgument, "a tensor's size is above 2^32")
      }
      sent.tensors.append(message)
    }
    return sent
  }

  private func send(
    _ call: WireRequest.OneOf_Call, _ tensors: [HostTensor], _ sent: Sent
  ) throws(LagoonError) -> WireReply {
    if sent.inArena, let arena = connection.arena {
      for (tensor, offset) in zip(tensors, sent.offsets) {
        let region = UnsafeMutableRawBufferPointer(rebasing: arena.bytes[offset..<offset + tensor.byteCount])
        tensor.withBytes { region.copyMemory(from: $0) }
      }
      return try exchange.call(call)
    }
    return try Self.withPieces(tensors, sent.offsets) { pieces in
      Result { () throws(LagoonError) in try exchange.call(call, tensors: pieces) }
    }.get()
  }

  /// The tensors' memory and the gaps between them, in order.
  private static func withPieces<R>(
    _ tensors: [HostTensor], _ offsets: [Int], pieces: [UnsafeRawBufferPointer] = [], end: Int = 0,
    _ body: ([UnsafeRawBufferPointer]) -> R
  ) -> R {
    guard let tensor = tensors.first, let offset = offsets.first else { return body(pieces) }
    return Self.gap.withUnsafeBytes { gap in
      tensor.withBytes { bytes in
        withPieces(
          Array(tensors.dropFirst()), Array(offsets.dropFirst()),
          pieces: pieces + [UnsafeRawBufferPointer(rebasing: gap[0..<offset - end]), bytes],
          end: offset + bytes.count, body)
      }
    }
  }
  private static let gap = [UInt8](repeating: 0, count: 64)

  private func take(
    _ reply: WireReply, _ sent: Sent, _ out: UnsafeMutableBufferPointer<Float>,
    _ logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) -> Int {
    guard case .attention(let attention)? = reply.result else {
      throw exchange.unexpectedReply("an attention call")
    }
    let out = UnsafeMutableRawBufferPointer(out)
    let logSumExp = UnsafeMutableRawBufferPointer(logSumExp)
    if let offset = sent.resultOffset, let arena = connection.arena {
      guard attention.out.place == .arenaOffset(UInt64(offset)),
        attention.logSumExpOffset == UInt64(offset + out.count)
      else { throw exchange.unexpectedReply("an attention call") }
      out.copyMemory(from: UnsafeRawBufferPointer(rebasing: arena.bytes[offset..<offset + out.count]))
      let end = offset + out.count
      logSumExp.copyMemory(from: UnsafeRawBufferPointer(rebasing: arena.bytes[end..<end + logSumExp.count]))
    } else {
      guard attention.out.place == .inlineOffset(0), attention.logSumExpOffset == UInt64(out.count) else {
        throw exchange.unexpectedReply("an attention call")
      }
      try exchange.receiveTensors(into: out)
      try exchange.receiveTensors(into: logSumExp)
    }
    return Int(clamping: attention.tokens)
  }

  private func resultBytes(
    _ queries: HostTensor, _ out: UnsafeMutableBufferPointer<Float>,
    _ logSumExp: UnsafeMutableBufferPointer<Float>
  ) throws(LagoonError) -> (out: Int, logSumExp: Int) {
    precondition(out.count == queries.elementCount, "out has the queries' shape")
    precondition(
      logSumExp.count == queries.tokens * queries.heads, "logSumExp has an element per query and head")
    return (out.count * 4, logSumExp.count * 4)
  }

  private func number(_ layer: Int) throws(LagoonError) -> UInt32 {
    guard let layer = UInt32(exactly: layer) else {
      throw LagoonError(.invalidArgument, "there is no layer \(layer)")
    }
    return layer
  }
}

extension Attention {
  /// Attention of `queries` as `body` fills it in.
  init(
    of queries: HostTensor,
    _ body: (UnsafeMutableBufferPointer<Float>, UnsafeMutableBufferPointer<Float>) throws(LagoonError) -> Int
  ) throws(LagoonError) {
    let sizes = (out: queries.elementCount, logSumExp: queries.tokens * queries.heads)
    var result = Result<Int, LagoonError>.success(0)
    var logSumExps: [Float] = []
    // Filled in where it lies: clearing megabytes first would take longer than a small call.
    out = [Float](unsafeUninitializedCapacity: sizes.out) { out, outCount in
      logSumExps = [Float](unsafeUninitializedCapacity: sizes.logSumExp) { logSumExp, logSumExpCount in
        result = Result { () throws(LagoonError) in
          try body(.init(rebasing: out[..<sizes.out]), .init(rebasing: logSumExp[..<sizes.logSumExp]))
        }
        // What a call that failed has left is not looked at.
        if case .success = result { (outCount, logSumExpCount) = sizes }
      }
    }
    logSumExp = logSumExps
    tokens = try result.get()
  }
}

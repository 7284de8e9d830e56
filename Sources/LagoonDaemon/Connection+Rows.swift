import KVStore
import LagoonProtocol
import SparseAttention

// Calls that move rows: writing, attention, fetching.

extension Connection {
  func begin(_ call: WireBegin) throws(CallError) -> Answer {
    let open = try handles.session(call.handle)
    let capacity = Int(clamping: call.capacityTokens)
    open.writer = try storing { () throws(StoreError) in
      try open.session.begin(capacity: capacity, owner: staging)
    }
    return try sessionReply(call.handle, storing { () throws(StoreError) in try open.session.state() })
  }

  func append(_ call: WireAppend, _ regions: TensorRegions) throws(CallError) -> Answer {
    let (tail, _) = try handles.tail(call.target)
    let keys = try regions.view(call.keys, "keys")
    let values = try regions.view(call.values, "values")
    try storing { () throws(StoreError) in
      try tail.append(layer: Int(call.layer), keys: keys, values: values)
    }
    return .done
  }

  func step(_ call: WireStep, _ regions: TensorRegions) throws(CallError) -> Answer {
    Counters.count(daemon.counters.stepCalls)
    let (tail, session) = try handles.tail(call.target)
    let layer = try Self.layer(call.layer, of: session)
    let queries = try regions.view(call.queries, "queries")
    let keys = try regions.view(call.keys, "keys")
    let values = try regions.view(call.values, "values")
    let place = call.hasOutput ? call.output : nil
    let results = try resultRegion(for: queries, layout: call.queries.layout, place, regions)
    try storing { () throws(StoreError) in
      try tail.step(
        layer: layer, queries: queries, keys: keys, values: values, scale: call.hasScale ? call.scale : nil,
        out: results.out, logSumExp: results.logSumExp)
    }
    return answer(results, tokens: tail.tokens[layer])
  }

  func stepAt(_ call: WireStepAt, _ regions: TensorRegions) throws(CallError) -> Answer {
    Counters.count(daemon.counters.stepCalls)
    let open = try handles.session(call.handle)
    let layer = try Self.layer(call.layer, of: open.session)
    let queries = try regions.view(call.queries, "queries")
    let keys = call.hasKeys ? try regions.view(call.keys, "keys") : nil
    let values = call.hasValues ? try regions.view(call.values, "values") : nil
    let first = Int(clamping: call.firstToken)
    let place = call.hasOutput ? call.output : nil
    let results = try resultRegion(for: queries, layout: call.queries.layout, place, regions)
    try storing { () throws(StoreError) in
      try open.session.stepAt(
        layer: layer, first: first, queries: queries, keys: keys, values: values,
        scale: call.hasScale ? call.scale : nil, out: results.out, logSumExp: results.logSumExp)
    }
    return answer(results, tokens: first + queries.tokens)
  }

  func attend(_ call: WireAttend, _ regions: TensorRegions) throws(CallError) -> Answer {
    Counters.count(daemon.counters.attendCalls)
    let entry = try handles.entry(call.target)
    let queries = try regions.view(call.queries, "queries")
    let place = call.hasOutput ? call.output : nil
    let results = try resultRegion(for: queries, layout: call.queries.layout, place, regions)
    let scale: Float? = call.hasScale ? call.scale : nil
    let ifTokens: Int? = call.hasIfTokens ? Int(clamping: call.ifTokens) : nil
    let tokens: Int
    switch entry {
    case .session(let open):
      tokens = try storing { () throws(StoreError) in
        try open.session.attend(
          layer: Int(call.layer), queries: queries, scale: scale, ifTokens: ifTokens, out: results.out,
          logSumExp: results.logSumExp)
      }
    case .backward:
      throw CallError(
        .invalidArgument,
        "handle \(call.target) is a backward pass; attention is over a session or an overlay")
    case .overlay(let tail, let session):
      let layer = try Self.layer(call.layer, of: session)
      if let ifTokens, ifTokens != tail.tokens[layer] {
        throw CallError(
          .moved, "the overlay stands at \(tail.tokens[layer]) tokens in layer \(layer), not at \(ifTokens)")
      }
      tokens = try storing { () throws(StoreError) in
        try tail.attend(
          layer: layer, queries: queries, scale: scale, out: results.out, logSumExp: results.logSumExp)
      }
    }
    return answer(results, tokens: tokens)
  }

  func commit(_ call: WireCommit) throws(CallError) -> Answer {
    let open = try handles.session(call.handle)
    let (writer, _) = try handles.tail(call.handle)
    let state = try storing { () throws(StoreError) in
      try writer.commit(tokenIDs: call.tokenIds, keepWriting: call.keepWriting)
    }
    if !call.keepWriting { open.writer = nil }
    return sessionReply(call.handle, state)
  }

  func abort(_ call: WireAbort) throws(CallError) -> Answer {
    let open = try handles.session(call.handle)
    open.writer?.abort()
    open.writer = nil
    return try sessionReply(call.handle, storing { () throws(StoreError) in try open.session.state() })
  }

  func createOverlay(_ call: WireCreateOverlay) throws(CallError) -> Answer {
    try handles.requireRoom()
    let open = try handles.session(call.handle)
    let capacity = Int(clamping: call.capacityTokens)
    let ifTokens: Int? = call.hasIfTokens ? Int(clamping: call.ifTokens) : nil
    let tail = try storing { () throws(StoreError) in
      try open.session.overlay(capacity: capacity, owner: staging, ifTokens: ifTokens)
    }
    var reply = WireOverlayReply()
    reply.tokens = UInt64(clamping: tail.tokens.first ?? 0)
    reply.handle = try handles.open(.overlay(tail, of: open.session))
    return Answer(.overlay(reply))
  }

  func closeOverlay(_ call: WireCloseOverlay) throws(CallError) -> Answer {
    try handles.closeOverlay(call.handle)
    return .done
  }

  func fetch(_ call: WireFetch) throws(CallError) -> Answer {
    let open = try handles.session(call.handle)
    let rows = try storing { () throws(StoreError) in
      try open.session.fetch(
        layer: Int(call.layer), firstRow: Int(clamping: call.firstRow), rows: Int(clamping: call.rows),
        ifTokens: call.hasIfTokens ? Int(clamping: call.ifTokens) : nil,
        maxBytes: daemon.configuration.limits.fetchBytes, positionsOnly: call.positionsOnly)
    }
    var reply = WireFetchReply()
    reply.firstRow = UInt64(rows.first)
    reply.rows = UInt64(rows.count)
    reply.totalRows = UInt64(rows.totalRows)
    reply.windowRows = UInt64(rows.windowRows)
    reply.tokens = UInt64(rows.tokens)
    var answer = Answer(.rows(reply))
    answer.tensors = [try gather(rows)]
    return answer
  }

  // MARK: Results

  /// Copies fetched rows into the connection's reply memory, in the order in which they are sent.
  private func gather(_ rows: FetchedRows) throws(CallError) -> UnsafeRawBufferPointer {
    let memory = try resultMemory(rows.positions.count * 4 + rows.keys.count + rows.values.count)
    var end = 0
    func add(_ bytes: UnsafeRawBufferPointer) {
      UnsafeMutableRawBufferPointer(rebasing: memory[end..<end + bytes.count]).copyMemory(from: bytes)
      end += bytes.count
    }
    // Positions are stored as this machine's UInt32; Lagoon runs on little-endian machines only, as the wire is.
    rows.positions.withUnsafeBytes(add)
    rows.keys.withUnsafeBytes(add)
    rows.values.withUnsafeBytes(add)
    return UnsafeRawBufferPointer(memory)
  }

  /// Where the results of `queries` go: the arena where the call says so, else this connection's reply memory.
  private func resultRegion(
    for queries: TensorView, layout: WireTensor.Layout, _ place: WireOutputPlace?, _ regions: TensorRegions
  ) throws(CallError) -> ResultRegion {
    guard let bytes = ResultRegion.byteCount(for: queries) else {
      throw CallError(.tooLarge, "the results are beyond any memory")
    }
    guard let place else {
      let limit = daemon.configuration.limits.frames.tensorBytes
      guard bytes <= limit else {
        throw CallError(
          .tooLarge,
          "\(bytes) bytes of results are above the limit of \(limit) a frame: send fewer queries or use an arena"
        )
      }
      return try ResultRegion(
        resultMemory(bytes), for: queries, layout: layout, isInArena: false, offset: 0)
    }
    return try ResultRegion(
      regions.output(at: place.arenaOffset, bytes: bytes), for: queries, layout: layout, isInArena: true,
      offset: place.arenaOffset)
  }

  private func answer(_ results: ResultRegion, tokens: Int) -> Answer {
    var answer = Answer(.attention(results.reply(tokens: tokens)))
    if !results.isInArena { answer.tensors = [UnsafeRawBufferPointer(results.bytes)] }
    return answer
  }

  static func layer(_ layer: UInt32, of session: Session) throws(CallError) -> Int {
    let layers = session.configuration.layers
    guard layer < UInt32(layers) else {
      var failure = CallError(
        .invalidArgument, "layer \(layer) does not exist: the session has \(layers) layers")
      failure.session = session.configuration.name
      throw failure
    }
    return Int(layer)
  }
}

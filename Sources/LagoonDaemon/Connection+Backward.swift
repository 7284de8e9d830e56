import KVStore
import LagoonProtocol
import SparseAttention

// Calls of training: gradients of LRSA attention, chunk by chunk from a session's end.

extension Connection {
  func beginBackward(_ call: WireBeginBackward) throws(CallError) -> Answer {
    try handles.requireRoom()
    let open = try handles.session(call.handle)
    let pass = try storing { () throws(StoreError) in
      try open.session.beginBackward(detachedBefore: Int(clamping: call.detachedBefore), owner: staging)
    }
    var reply = WireBackwardReply()
    reply.tokens = UInt64(pass.tokens)
    reply.scratchBytes = UInt64(pass.scratchBytes)
    reply.handle = try handles.open(.backward(pass))
    return Answer(.backward(reply))
  }

  func stepBackward(_ call: WireStepBackward, _ regions: TensorRegions) throws(CallError) -> Answer {
    let pass = try handles.backward(call.handle)
    let layer = try Self.layer(call.layer, of: pass.session)
    let queries = try regions.view(call.queries, "queries")
    let out = try regions.view(call.out, "out")
    let logSumExp = try regions.sums(call.logSumExp, "log_sum_exp")
    let dOut = try regions.view(call.dOut, "d_out")
    let dLogSumExp = call.hasDLogSumExp ? try regions.sums(call.dLogSumExp, "d_log_sum_exp") : nil
    let results = try gradientRegion(call, queries, pass.session, regions)
    try storing { () throws(StoreError) in
      try pass.step(
        layer: layer, first: Int(clamping: call.firstToken), queries: queries, out: out, logSumExp: logSumExp,
        dOut: dOut, dLogSumExp: dLogSumExp, scale: call.hasScale ? call.scale : nil,
        detachedBefore: Int(clamping: call.detachedBefore),
        dQueries: results.dQueries, dKeys: results.dKeys, dValues: results.dValues)
    }
    var reply = results.reply
    reply.detachedBefore = call.detachedBefore
    var answer = Answer(.gradients(reply))
    if !results.isInArena { answer.tensors = [UnsafeRawBufferPointer(results.bytes)] }
    return answer
  }

  func endBackward(_ call: WireEndBackward) throws(CallError) -> Answer {
    try handles.closeBackward(call.handle)
    return .done
  }

  /// Where the gradients go: the arena where the call says so, else this connection's reply memory.
  private func gradientRegion(
    _ call: WireStepBackward, _ queries: TensorView, _ session: Session, _ regions: TensorRegions
  ) throws(CallError) -> GradientRegion {
    let kvHeads = session.configuration.kvHeads
    guard let bytes = GradientRegion.byteCount(for: queries, kvHeads: kvHeads) else {
      throw CallError(.tooLarge, "the gradients are beyond any memory")
    }
    let limit = daemon.configuration.limits.frames.tensorBytes
    guard call.hasOutput || bytes <= limit else {
      throw CallError(
        .tooLarge,
        "\(bytes) bytes of gradients are above the limit of \(limit) a frame: send fewer queries or use an arena"
      )
    }
    let memory =
      call.hasOutput ? try regions.output(at: call.output.arenaOffset, bytes: bytes) : try resultMemory(bytes)
    return try GradientRegion(
      memory, for: queries, layout: call.queries.layout, kvHeads: kvHeads,
      arenaOffset: call.hasOutput ? call.output.arenaOffset : nil)
  }
}

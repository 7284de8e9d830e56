import LagoonProtocol

extension Connection {
  /// Runs one call.
  func answer(_ call: WireRequest.OneOf_Call, _ regions: TensorRegions) throws(CallError) -> Answer {
    if daemon.isStopping { throw CallError.shuttingDown }
    switch call {
    case .hello(let call): return try hello(call)
    case _ where !saidHello:
      throw CallError(.invalidArgument, "\(call.name) before hello: a connection's first request is hello")
    case .createArena(let call): return try createArena(call)
    case .createSession(let call): return try createSession(call)
    case .openSession(let call): return try openSession(call)
    case .closeSession(let call): return try closeSession(call)
    case .listSessions(let call): return try listSessions(call)
    case .describeSession(let call): return try describeSession(call)
    case .deleteSession(let call): return try deleteSession(call)
    case .begin(let call): return try begin(call)
    case .append(let call): return try append(call, regions)
    case .step(let call): return try step(call, regions)
    case .stepAt(let call): return try stepAt(call, regions)
    case .beginBackward(let call): return try beginBackward(call)
    case .stepBackward(let call): return try stepBackward(call, regions)
    case .endBackward(let call): return try endBackward(call)
    case .attend(let call): return try attend(call, regions)
    case .commit(let call): return try commit(call)
    case .abort(let call): return try abort(call)
    case .createOverlay(let call): return try createOverlay(call)
    case .closeOverlay(let call): return try closeOverlay(call)
    case .fetch(let call): return try fetch(call)
    case .sync: return try sync()
    case .stats: return stats()
    case .verify(let call): return try verify(call)
    case .shutdown: return try shutdownDaemon()
    }
  }
}

extension WireRequest.OneOf_Call {
  /// As the contract spells it.
  var name: String {
    switch self {
    case .hello: "hello"
    case .createArena: "create_arena"
    case .createSession: "create_session"
    case .openSession: "open_session"
    case .closeSession: "close_session"
    case .listSessions: "list_sessions"
    case .describeSession: "describe_session"
    case .deleteSession: "delete_session"
    case .begin: "begin"
    case .append: "append"
    case .step: "step"
    case .stepAt: "step_at"
    case .beginBackward: "begin_backward"
    case .stepBackward: "step_backward"
    case .endBackward: "end_backward"
    case .attend: "attend"
    case .commit: "commit"
    case .abort: "abort"
    case .createOverlay: "create_overlay"
    case .closeOverlay: "close_overlay"
    case .fetch: "fetch"
    case .sync: "sync"
    case .stats: "stats"
    case .verify: "verify"
    case .shutdown: "shutdown"
    }
  }
}

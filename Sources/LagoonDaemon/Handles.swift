import KVStore
import LagoonProtocol

/// What a connection has open, by the handles that its client names them with.
struct Handles {
  /// An open session, and its staged tail while this connection is the session's writer.
  final class OpenSession {
    let session: Session
    var writer: StagedTail?

    init(_ session: Session) { self.session = session }

    var name: String { session.configuration.name }
  }

  enum Entry {
    case session(OpenSession)
    case overlay(StagedTail, of: Session)
    case backward(BackwardPass)
  }

  private var entries: [UInt32: Entry] = [:]
  private var last: UInt32 = 0
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  var count: Int { entries.count }

  /// Checks that another handle may be opened, before anything is opened for it.
  func requireRoom() throws(CallError) {
    guard entries.count < limit else {
      throw CallError(
        .overloaded,
        "\(limit) sessions and overlays are open on this connection, the most there may be: close some")
    }
  }

  mutating func open(_ entry: Entry) throws(CallError) -> UInt32 {
    try requireRoom()
    repeat { last &+= 1 } while last == 0 || entries[last] != nil
    entries[last] = entry
    return last
  }

  func session(_ handle: UInt32) throws(CallError) -> OpenSession {
    switch entries[handle] {
    case .session(let session): return session
    case .overlay:
      throw CallError(.invalidArgument, "handle \(handle) is an overlay; this call is about a session")
    case .backward:
      throw CallError(.invalidArgument, "handle \(handle) is a backward pass; this call is about a session")
    case nil: throw Self.unknown(handle)
    }
  }

  /// An open session or overlay.
  func entry(_ handle: UInt32) throws(CallError) -> Entry {
    guard let entry = entries[handle] else { throw Self.unknown(handle) }
    return entry
  }

  /// Where `append` and `step` put rows: an overlay, or the tail of a session that this connection writes.
  func tail(_ handle: UInt32) throws(CallError) -> (tail: StagedTail, session: Session) {
    switch try entry(handle) {
    case .overlay(let tail, let session): return (tail, session)
    case .backward:
      throw CallError(
        .invalidArgument, "handle \(handle) is a backward pass; rows go to a session or an overlay")
    case .session(let open):
      guard let writer = open.writer else {
        var failure = CallError(.notBegun, "session '\(open.name)' is not being written here: begin first")
        failure.session = open.name
        throw failure
      }
      return (writer, open.session)
    }
  }

  /// Closes a session: a writer is aborted.
  mutating func closeSession(_ handle: UInt32) throws(CallError) {
    try session(handle).writer?.abort()
    entries[handle] = nil
  }

  mutating func closeOverlay(_ handle: UInt32) throws(CallError) {
    guard case .overlay(let tail, _) = try entry(handle) else {
      throw CallError(.invalidArgument, "handle \(handle) is not an overlay")
    }
    tail.abort()
    entries[handle] = nil
  }

  func backward(_ handle: UInt32) throws(CallError) -> BackwardPass {
    guard case .backward(let pass) = try entry(handle) else {
      throw CallError(.invalidArgument, "handle \(handle) is not a backward pass")
    }
    return pass
  }

  mutating func closeBackward(_ handle: UInt32) throws(CallError) {
    _ = try backward(handle)
    entries[handle] = nil
  }

  /// Aborts every writer and overlay and closes everything.
  mutating func closeAll() {
    for entry in entries.values {
      switch entry {
      case .session(let open): open.writer?.abort()
      case .overlay(let tail, _): tail.abort()
      case .backward: break
      }
    }
    entries.removeAll()
  }

  private static func unknown(_ handle: UInt32) -> CallError {
    CallError(.notFound, "handle \(handle) is not open on this connection")
  }
}

import LagoonProtocol

/// Why a daemon cannot serve.
public struct DaemonError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: Sendable, Hashable {
    /// Another daemon answers on the socket.
    case socketInUse
    /// The socket's path is too long, or what is there is not a socket, or its folder is not ours.
    case badSocketPath
    /// The system refuses, see the errno.
    case system
    /// Something did not finish in time when the daemon stopped.
    case stoppedTooSoon
  }
  public let code: Code
  public let description: String
  public let systemCode: Int32?

  init(_ code: Code, _ description: String, systemCode: Int32? = nil) {
    self.code = code
    self.description = description
    self.systemCode = systemCode
  }

  init(_ what: String, _ cause: SystemError) {
    self.init(.system, "\(what): \(cause)", systemCode: cause.code)
  }
}

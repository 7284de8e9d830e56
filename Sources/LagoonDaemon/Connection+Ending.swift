import Glibc
import LagoonProtocol

extension Connection {
  /// Why a connection ends.
  enum Ending: Error {
    /// The client closed it between two frames.
    case left
    /// What it sent cannot be skipped.
    case broken(requestID: UInt64, WireErrorCode, String)
    /// The daemon stops, and no longer takes the rest of the frame that it was receiving.
    case refused(requestID: UInt64)
    /// It takes no replies.
    case unreachable(String)

    /// A failure while a part of a frame was received.
    init(_ error: SystemError, receiving part: String, requestID: UInt64) {
      switch error.code {
      case ETIMEDOUT:
        self = .broken(requestID: requestID, .badFrame, "the \(part) of a frame did not arrive in time")
      case ENOMEM:
        self = .broken(requestID: requestID, .overloaded, "no memory for the \(part) of a frame")
      default: self = .unreachable("\(error)")
      }
    }
  }

  /// The stream ended inside a frame: the client's end of it, or, once the daemon stops, the daemon's.
  func cutShort(after received: Int, of bytes: Int, _ part: String, requestID: UInt64) -> Ending {
    if daemon.isStopping { return .refused(requestID: requestID) }
    return .broken(
      requestID: requestID, .badFrame, "the stream ended after \(received) of \(bytes) bytes of the \(part)")
  }
}

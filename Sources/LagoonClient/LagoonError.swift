import LagoonProtocol

/// Why a call failed: what happened, where, and which request of which connection it was (the daemon's log names both).
public struct LagoonError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The wire's codes by the same names, and what only a client sees: `cannotConnect`, `connectionLost`.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    case badFrame, badMessage, unsupportedVersion, invalidArgument, notFound, alreadyExists, busy, notBegun
    case layersUneven, otherModel, otherText, moved, nonFinite, tooLarge, stagingFull, quotaExceeded, diskFull
    case corrupt, overloaded, shuttingDown, `internal`, notPermitted, recomputeMismatch, badOrder,
      backwardLost
    /// A code that this version does not know.
    case unknown
    /// Nobody answers on the socket, or it is not ours to use.
    case cannotConnect
    /// The connection ended, or what came over it was not an answer. It takes no more calls.
    case connectionLost
  }

  public var code: Code
  public var message: String
  public var session: String?
  public var layer: Int?
  public var head: Int?
  public var token: Int?
  public var channel: Int?
  public var partition: Int?
  /// errno or LMDB's code.
  public var systemCode: Int?
  /// 0 when the failure belongs to no request.
  public var requestID: UInt64
  public var connectionID: UInt64

  public init(_ code: Code, _ message: String, requestID: UInt64 = 0, connectionID: UInt64 = 0) {
    self.code = code
    self.message = message
    self.requestID = requestID
    self.connectionID = connectionID
  }

  public var description: String {
    requestID == 0
      ? "\(message) [\(code.rawValue)]"
      : "\(message) [\(code.rawValue), connection \(connectionID) request \(requestID)]"
  }
}

extension LagoonError {
  init(_ failure: WireFailure, requestID: UInt64, connectionID: UInt64) {
    self.init(Code(failure.code), failure.message, requestID: requestID, connectionID: connectionID)
    session = failure.session.isEmpty ? nil : failure.session
    layer = failure.hasLayer ? Int(failure.layer) : nil
    head = failure.hasHead ? Int(failure.head) : nil
    token = failure.hasToken ? Int(clamping: failure.token) : nil
    channel = failure.hasChannel ? Int(failure.channel) : nil
    partition = failure.hasPartition ? Int(clamping: failure.partition) : nil
    systemCode = failure.hasSystemCode ? Int(failure.systemCode) : nil
  }
}

extension LagoonError.Code {
  init(_ wire: WireErrorCode) {
    self =
      switch wire {
      case .badFrame: .badFrame
      case .badMessage: .badMessage
      case .unsupportedVersion: .unsupportedVersion
      case .invalidArgument: .invalidArgument
      case .notFound: .notFound
      case .alreadyExists: .alreadyExists
      case .busy: .busy
      case .notBegun: .notBegun
      case .layersUneven: .layersUneven
      case .otherModel: .otherModel
      case .otherText: .otherText
      case .moved: .moved
      case .nonFinite: .nonFinite
      case .tooLarge: .tooLarge
      case .stagingFull: .stagingFull
      case .quotaExceeded: .quotaExceeded
      case .diskFull: .diskFull
      case .corrupt: .corrupt
      case .overloaded: .overloaded
      case .shuttingDown: .shuttingDown
      case .internal: .internal
      case .notPermitted: .notPermitted
      case .recomputeMismatch: .recomputeMismatch
      case .badOrder: .badOrder
      case .backwardLost: .backwardLost
      case .unspecified, .UNRECOGNIZED: .unknown
      }
  }
}

import KVStore
import LagoonProtocol
import Logging

/// Why a call failed, as the client will see it.
struct CallError: Error, Sendable {
  var code: WireErrorCode
  var message: String
  var session: String?
  var layer: Int?
  var head: Int?
  var token: Int?
  var channel: Int?
  var partition: Int?
  var systemCode: Int32?

  init(_ code: WireErrorCode, _ message: String) {
    self.code = code
    self.message = message
  }

  static let shuttingDown = CallError(.shuttingDown, "the daemon is shutting down")

  init(_ error: StoreError) {
    self.init(Self.code(error.code), error.message)
    session = error.session
    layer = error.layer
    head = error.head
    token = error.token
    channel = error.channel
    partition = error.partition
    systemCode = error.systemCode
  }

  private static func code(_ code: StoreError.Code) -> WireErrorCode {
    switch code {
    case .notFound: .notFound
    case .alreadyExists: .alreadyExists
    case .busy: .busy
    case .notBegun: .notBegun
    case .layersUneven: .layersUneven
    case .otherModel: .otherModel
    case .otherText: .otherText
    case .moved: .moved
    case .recomputeMismatch: .recomputeMismatch
    case .badOrder: .badOrder
    case .backwardLost: .backwardLost
    case .nonFinite: .nonFinite
    case .invalidArgument: .invalidArgument
    case .tooLarge: .tooLarge
    case .stagingFull: .stagingFull
    case .quotaExceeded: .quotaExceeded
    case .diskFull: .diskFull
    case .corrupt, .unclean, .incompatible: .corrupt
    case .closed: .shuttingDown
    case .locked, .internal: .internal
    }
  }

  /// How much an operator should care; what a client did wrong is the client's to read.
  var logLevel: Logger.Level {
    switch code {
    case .internal, .corrupt: .error
    case .diskFull, .quotaExceeded, .overloaded: .warning
    default: .debug
    }
  }

  /// The message as one line, whatever names a client made up.
  var logLine: Logger.Message {
    let safe = message.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) }
    return "\(String(safe))"
  }

  var wire: WireFailure {
    var failure = WireFailure()
    failure.code = code
    failure.message = message
    failure.session = session ?? ""
    if let layer { failure.layer = UInt32(clamping: layer) }
    if let head { failure.head = UInt32(clamping: head) }
    if let token { failure.token = UInt64(clamping: token) }
    if let channel { failure.channel = UInt32(clamping: channel) }
    if let partition { failure.partition = UInt64(clamping: partition) }
    if let systemCode { failure.systemCode = systemCode }
    return failure
  }
}

/// Runs a call of the store and turns its error into a client's.
func storing<Result>(_ body: () throws(StoreError) -> Result) throws(CallError) -> Result {
  do throws(StoreError) {
    return try body()
  } catch {
    throw CallError(error)
  }
}

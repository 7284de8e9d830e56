import Inspection
import ToolSupport

/// Where sessions are looked at: a running daemon, or the store of a stopped one.
protocol SessionSource {
  /// All sessions, by name.
  func sessions() throws -> [SessionView]
  func describe(_ name: String) throws -> SessionDescription
  /// What every head of some layers keeps, at one moment of the session.
  func keptRows(session: String, layers: [Int]) throws -> KeptRows
  /// Checks every record of one session, or of all.
  /// - Parameter progress: told how many bytes are checked, and how many there are, as far as that is known on the way.
  func verify(_ name: String?, progress: @escaping (_ done: Int, _ all: Int) -> Void) throws
    -> VerificationView
  /// - Throws: when the source is only read, saying what to do instead, or one of the names is no session's. A damaged session can
  ///   be deleted.
  func requireDeletable(_ names: [String]) throws
  func delete(_ name: String) throws
  func statistics() throws -> StoreView
}

/// Positions of the rows that layers hold.
struct KeptRows {
  /// Of the session, when they were read.
  var tokens = 0
  /// Rows of each head that are kept because they are the newest.
  var window = 0
  var layers: [HeatMap.Layer] = []
}

/// A failure's message for the person who typed the command, with its place where the message doesn't say it.
func sentence(_ message: String, session: String?, layer: Int?) -> ToolError {
  var place: [String] = []
  if let session, !message.contains(session) { place.append("session \(session)") }
  if let layer, !message.contains("layer \(layer)") { place.append("layer \(layer)") }
  return ToolError(place.isEmpty ? message : "\(message) (\(place.joined(separator: ", ")))")
}

import Inspection
import ToolSupport

/// Where sessions are looked at: a running daemon, or the store of a stopped one.
protocol SessionSource {
  /// All sessions, by name.
  func sessions() throws -> [SessionView]
  func describe(_ name: String) throws -> SessionDescription
  /// Positions of the rows that every head of a layer keeps, and what of them is the window.
  func keptRows(session: String, layer: Int, ifTokens: Int) throws -> (layer: HeatMap.Layer, window: Int)
  /// Checks every record of one session, or of all.
  /// - Parameter progress: told how many bytes are checked, and how many there are, as far as that is known on the way.
  func verify(_ name: String?, progress: @escaping (_ done: Int, _ all: Int) -> Void) throws
    -> VerificationView
  /// - Throws: when the source is only read, saying what to do instead.
  func requireWritable() throws
  func delete(_ name: String) throws
  func statistics() throws -> StoreView
}

/// A failure's message for the person who typed the command, with its place where the message doesn't say it.
func sentence(_ message: String, session: String?, layer: Int?) -> ToolError {
  var place: [String] = []
  if let session, !message.contains(session) { place.append("session \(session)") }
  if let layer, !message.contains("layer \(layer)") { place.append("layer \(layer)") }
  return ToolError(place.isEmpty ? message : "\(message) (\(place.joined(separator: ", ")))")
}

import Inspection

/// Where sessions are looked at: a running daemon, or the store of a stopped one.
protocol SessionSource {
  /// All sessions, by name.
  func sessions() throws -> [SessionView]
  func describe(_ name: String) throws -> SessionDescription
  /// Positions of the rows that every head of a layer keeps, and what of them is the window.
  func keptRows(session: String, layer: Int, ifTokens: Int) throws -> (layer: HeatMap.Layer, window: Int)
  /// Checks every record of one session, or of all.
  /// - Parameter progress: told the unit of progress, how many are done, and how many there are.
  func verify(_ name: String?, progress: (String, Int, Int) -> Void) throws -> VerificationView
  func delete(_ name: String) throws
  func statistics() throws -> StoreView
}

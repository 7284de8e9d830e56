/// What went wrong in the store, where, and what to do about it.
public struct StoreError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kinds of failure. On the wire `unclean` and `incompatible` are CORRUPT, `closed` is SHUTTING_DOWN, `locked` is INTERNAL; the others
  /// have codes of their own names.
  public enum Code: String, Sendable, CaseIterable {
    case notFound, alreadyExists
    /// Another writer holds the session.
    case busy
    /// The operation needs a tail that `begin` made and that is still open.
    case notBegun
    /// A commit with unequal staged tails.
    case layersUneven
    case otherModel, otherText
    /// The session does not stand at the expected token count.
    case moved
    /// Rows that were to be recomputed came out differently.
    case recomputeMismatch
    /// A call of a backward pass that is not the next one, nor the last once more.
    case badOrder
    /// A backward pass whose accumulators can no longer be relied on.
    case backwardLost
    /// A row holds NaN or infinity.
    case nonFinite
    case invalidArgument
    /// A size above a limit, whatever else is going on.
    case tooLarge
    /// The staged bytes of this owner or of all would exceed their cap.
    case stagingFull
    case quotaExceeded, diskFull
    /// A stored record fails its checks.
    case corrupt
    /// Another process has the store open.
    case locked
    /// The store was damaged by a crash of the machine.
    case unclean
    /// The store was written by an incompatible version or with other limits.
    case incompatible
    /// The store is closed.
    case closed
    case `internal`
  }

  public var code: Code
  public var message: String
  public var session: String?
  public var layer: Int?
  public var head: Int?
  /// Absolute position in the session.
  public var token: Int?
  public var channel: Int?
  public var partition: Int?
  /// `errno` or LMDB's code.
  public var systemCode: Int32?

  public init(
    _ code: Code, _ message: String, session: String? = nil, layer: Int? = nil, head: Int? = nil,
    token: Int? = nil, channel: Int? = nil, partition: Int? = nil, systemCode: Int32? = nil
  ) {
    self.code = code
    self.message = message
    self.session = session
    self.layer = layer
    self.head = head
    self.token = token
    self.channel = channel
    self.partition = partition
    self.systemCode = systemCode
  }

  public var description: String {
    var text = "\(code.rawValue): \(message)"
    var place: [String] = []
    if let session { place.append("session \"\(session)\"") }
    if let layer { place.append("layer \(layer)") }
    if let head { place.append("head \(head)") }
    if let token { place.append("token \(token)") }
    if let channel { place.append("channel \(channel)") }
    if let partition { place.append("partition \(partition)") }
    if let systemCode { place.append("system code \(systemCode)") }
    if !place.isEmpty { text += " (\(place.joined(separator: ", ")))" }
    return text
  }
}

extension StoreError {
  /// The same error with the session named, unless one is named already.
  func named(_ name: String) -> StoreError {
    guard session == nil else { return self }
    var copy = self
    copy.session = name
    return copy
  }
}

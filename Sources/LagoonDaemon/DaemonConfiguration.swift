import LagoonProtocol

/// How a daemon serves. The store's own options (quota, durability, staged bytes) are the store's.
public struct DaemonConfiguration: Sendable {
  public var socketPath: String
  public var limits: Limits
  public var timeouts: Timeouts

  public init(
    socketPath: String = SocketPath.standard, limits: Limits = Limits(), timeouts: Timeouts = Timeouts()
  ) {
    self.socketPath = socketPath
    self.limits = limits
    self.timeouts = timeouts
  }

  /// Caps on what clients may ask for, announced in hello's reply, but for those of lists: a reply says itself where it does
  /// not list all. Sizes in bytes.
  public struct Limits: Sendable, Hashable {
    public var frames = FrameLimits.standard
    /// One connection's arena.
    public var arenaBytes = 256 << 20
    /// All arenas together.
    public var arenaBytesTotal = 1 << 30
    /// Tensor bytes of one fetch reply.
    public var fetchBytes = 16 << 20
    public var connections = 64
    /// Sessions and overlays open at once on one connection.
    public var handlesPerConnection = 256
    /// Sessions in one reply, and bytes of their stored records, which are about the reply's; one is listed whatever its size.
    public var listedSessions = 1_000
    public var listedSessionBytes = 1 << 20
    /// Damaged records in one reply.
    public var listedDamage = 1_000

    public init() {}
  }

  /// In milliseconds.
  public struct Timeouts: Sendable, Hashable {
    /// For each part of a frame (header, message, tensors) to arrive once the frame has begun. Between frames a connection
    /// may idle for ever.
    public var receive: Int64 = 30_000
    /// For a reply to be taken.
    public var send: Int64 = 30_000
    /// For requests under way to finish once the daemon is asked to stop.
    public var stop: Int64 = 10_000
    /// After which an idle connection gives its large buffers back.
    public var idle: Int64 = 1_000

    public init() {}
  }
}

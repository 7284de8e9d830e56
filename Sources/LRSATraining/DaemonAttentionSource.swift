import Foundation
import LagKV
import LagoonClient
import Transformer

/// Attention of a run's documents through a daemon, each on a session of its own that is deleted after it.
public final class DaemonAttentionSource: AttentionSource {
  private let configuration: ModelConfiguration
  private let settings: AttentionSettings
  private let seed: UInt64
  private let chunk: Int
  private let connect: () throws -> LagoonConnection
  private var connection: LagoonConnection?

  /// How long a daemon that went away is waited for, in seconds.
  private static let patience = 60.0

  /// - Parameters:
  ///   - seed: the run's.
  ///   - chunk: most tokens of a call.
  ///   - connect: connects, with an arena of ``DaemonTrainingAttention/arenaBytes(_:chunk:)``; called again when the
  ///     connection was lost.
  public init(
    _ configuration: ModelConfiguration, _ settings: AttentionSettings, seed: UInt64, chunk: Int,
    connect: @escaping () throws -> LagoonConnection
  ) {
    self.configuration = configuration
    self.settings = settings
    self.seed = seed
    self.chunk = chunk
    self.connect = connect
  }

  public func checkRoom(for bytes: Int) throws {
    let state = try connected().stats()
    guard state.quotaBytes - state.liveBytes < bytes else { return }
    throw TrainingError(
      "documents of this length need about \(bytes) bytes of the daemon's store, whose quota of \(state.quotaBytes) has "
        + "\(state.quotaBytes - state.liveBytes) left: choose a shorter --length, fewer documents --together, a lower "
        + "--ratio, or start the daemon with a larger --quota")
  }

  private func connected() throws -> LagoonConnection {
    let connection = try self.connection ?? connect()
    self.connection = connection
    return connection
  }

  public func attention(document number: Int?, tokens: Int) throws -> DaemonTrainingAttention {
    let connection = try connected()
    let parameters = settings.session(document: number, seed: seed, configuration)
    let session = try connection.createSession(parameters)
    let reach = settings.backpropagatedChunks.map { $0 * chunk }
    return try DaemonTrainingAttention(
      session, configuration, chunk: chunk,
      detachedBefore: { first in reach.map { max(0, first - $0) } ?? 0 },
      // A lost connection cannot delete; the session is gone with it.
      onClose: { try? connection.deleteSession(parameters.name) })
  }

  /// Waits for a daemon that went away, up to a minute.
  public func recover(from error: any Error, giveUp: () -> Bool) throws -> Bool {
    guard let failure = error as? LagoonError else { return false }
    switch failure.code {
    case .connectionLost, .cannotConnect, .backwardLost, .shuttingDown, .notFound: break
    default: return false
    }
    connection = nil
    let deadline = Date.now + Self.patience
    while !giveUp() {
      do {
        connection = try connect()
        return true
      } catch  where Date.now < deadline {
        Thread.sleep(forTimeInterval: 0.2)
      }
    }
    return false
  }
}

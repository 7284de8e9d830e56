import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ModelToolSupport
import Synchronization
import ToolSupport

struct Clients: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Several clients attending at once: what all get together beside what one gets, and how evenly.",
    discussion: """
      Each client has a connection and a session of its own, 32 query heads over 8 KV heads × 128, and asks for attention over all
      kept keys again and again. The ceiling is one client's bandwidth, measured before each crowd.
      """)

  @Option(help: "Clients at once; several may be given.")
  var clients: [Int] = [4, 16, 64]

  @Option(help: "Kept keys of each client's session.")
  var keys = 8192

  @Option(help: "Element type of the store: f32, bf16 or f16.")
  var dtype: ElementType = .bfloat16

  @Option(name: .customLong("seconds"), help: "Seconds of each measurement.")
  var duration = 5.0

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard clients.allSatisfy({ (1...256).contains($0) }), keys >= 256, keys % 256 == 0, duration > 0 else {
      throw ValidationError("--clients in 1...256, --keys a multiple of 256, and --seconds above 0")
    }
  }

  func run() throws {
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let shape = BenchShape()
    let crowd = try (0..<(clients.max() ?? 1)).map { number in
      let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 4 << 20)
      return AttendingClient(
        connection, session: try shape.filled(connection, keys: keys, dtype, name: "client-\(number)"), shape,
        dtype)
    }
    var figures: [Figure] = []
    for count in clients {
      let single = Self.measure([try crowd[0].inTurns(crowd.prefix(count))], seconds: duration)
      let together = Self.measure(Array(crowd.prefix(count)), seconds: duration)
      let bytes = Double(shape.bytes(tokens: keys, dtype))
      let slowest = together.map { $0.percentile(0.99) }
      let attends = together.reduce(0) { $0 + $1.count }
      figures.append(
        Figure(
          name: "\(count) clients, \(keys) keys, \(dtype.name)",
          figure: Double(attends) * bytes / duration / 1e9,
          ceiling: Double(single[0].count) * bytes / duration / 1e9, unit: "GB/s",
          ceilingIs: "one client that attends to them in turns",
          target: count > 1 ? .atLeast(0.9) : nil,
          details: [
            "worst_p99_by_best_p99": (slowest.max() ?? .nan) / (slowest.min() ?? .nan),
            "worst_p99_milliseconds": (slowest.max() ?? .nan) * 1e3,
            "fewest_attends_by_most":
              Double(together.map(\.count).min() ?? 0) / Double(together.map(\.count).max() ?? 1),
          ]))
    }
    try report(figures, json: output.json)
  }

  /// How long each attend of each client took, in seconds. Each attends once before that: a system may take pages from memory that were
  /// not read for a minute.
  private static func measure(_ clients: [AttendingClient], seconds: Double) -> [[Double]] {
    for client in clients { client.attend() }
    let end = ContinuousClock.now + .seconds(seconds)
    let threads = clients.map { client in
      let done = DispatchSemaphore(value: 0)
      let thread = Thread {
        client.attend(until: end)
        done.signal()
      }
      thread.start()
      return done
    }
    for done in threads { done.wait() }
    return clients.map(\.times)
  }
}

/// Sendable by `@unchecked`: one thread uses it at a time, handed over by the semaphore above.
private final class AttendingClient: @unchecked Sendable {
  private let connection: LagoonConnection
  private let sessions: [RemoteSession]
  private let query: HostTensor
  private(set) var times: [Double] = []

  init(_ connection: LagoonConnection, session: RemoteSession, _ shape: BenchShape, _ type: ElementType) {
    self.connection = connection
    sessions = [session]
    var rows = SyntheticRows(seed: 29)
    query = rows.tensor(type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
  }

  private init(_ connection: LagoonConnection, _ sessions: [RemoteSession], _ query: HostTensor) {
    self.connection = connection
    self.sessions = sessions
    self.query = query
  }

  /// A client that attends to the sessions of all of `others` in turns.
  func inTurns(_ others: some Sequence<AttendingClient>) throws -> AttendingClient {
    let sessions = try others.flatMap(\.sessions).map { try connection.openSession($0.parameters.name) }
    return AttendingClient(connection, sessions, query)
  }

  func attend() {
    for session in sessions { _ = try? session.attend(layer: 0, queries: query) }
  }

  func attend(until end: ContinuousClock.Instant) {
    times = []
    var turn = 0
    while ContinuousClock.now < end {
      let session = sessions[turn % sessions.count]
      turn += 1
      guard let time = try? seconds({ try session.attend(layer: 0, queries: query) }) else { return }
      times.append(time)
    }
  }
}

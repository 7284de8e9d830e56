import ArgumentParser
import Glibc
import KVStore
import LagoonDaemon
import LagoonProtocol
import Logging
import ServiceLifecycle
import SparseAttention

@main
struct Lagoond: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lagoond",
    abstract: "Keeps compressed transformer KV caches on disk and answers attention over them.",
    discussion: """
      lagoond owns one store and serves it on a Unix socket, to its own user and root. It stops on SIGTERM or SIGINT, or when \
      `lagoon` or a client asks: requests under way finish (at most 10 s), then the store is closed. An acknowledged \
      commit survives the daemon's death always; what it survives of a power cut is --durability.

      EXAMPLES
        lagoond
        lagoond --store /var/tmp/caches --socket /run/user/1000/caches.sock --quota 200GiB
        lagoond --config lagoond.json --log-level debug

      A configuration file is a JSON object with the options' names, e.g.
        {"store": "/var/tmp/caches", "quota": "200GiB", "durability": "full", "threads": 8}

      EXIT CODES
        64 bad option, 69 another daemon on the socket, 73 store or socket cannot be made or opened,
        75 the store is in use, 78 bad configuration file, 70 anything else
      """,
    version: "lagoond \(LagoonVersion.string)")

  @Option(help: "Folder of the store. (default: $XDG_DATA_HOME/lagoon or ~/.local/share/lagoon)")
  var store: String?

  @Option(
    help: """
      Socket to serve on. (default: $LAGOON_SOCKET, $XDG_RUNTIME_DIR/lagoon.sock or /tmp/lagoon-UID/lagoon.sock)
      """)
  var socket: String?

  @Option(help: "Most bytes that the store may take, e.g. 500MiB, 64GiB. (default: 64GiB)")
  var quota: ByteSize?

  @Option(help: "What commits survive of a power cut: process, ordered or full. (default: ordered)")
  var durability: Durability?

  @Option(
    help: "trace, debug, info, notice, warning, error or critical. (default: notice)",
    transform: { name in
      guard let level = Logger.Level(rawValue: name) else { throw ValidationError("there is no such level") }
      return level
    })
  var logLevel: Logger.Level?

  @Option(help: "Threads that compute attention. (default: one per core)")
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "Compress the kept rows of sessions unused for so long, e.g. 90m, 24h, 7d; or never. (default: 24h)",
      discussion: "Reading them costs more then; a session that is read again and again is stored raw again.")
  )
  var coldAfter: Age?

  @Flag(help: "Stop when standard input ends, so that the daemon dies with the program that started it.")
  var stopAtEof = false

  @Option(help: "JSON file with these options' names; options given here win.")
  var config: String?

  /// Descriptors first: after the first suspension those of the event loop are open, under the numbers of closed ones.
  static func main() async {
    do throws(DaemonError) {
      try StandardDescriptors.open()
    } catch {
      exit(withError: ExitCode(EX_OSERR))
    }
    await main(nil)
  }

  func validate() throws {
    if let threads, !Settings.threadRange.contains(threads) {
      throw ValidationError("--threads is \(threads); it must be in \(Settings.threadRange)")
    }
  }

  func run() async throws {
    ProcessMemory.settle()
    do {
      try await serve()
    } catch let failure as Failure {
      let line = "lagoond: \(failure.message)\n"
      _ = line.utf8.withContiguousStorageIfAvailable { write(STDERR_FILENO, $0.baseAddress, $0.count) }
      throw ExitCode(failure.exitCode)
    }
  }

  private func serve() async throws {
    var settings = try config.map { try Settings(file: $0) } ?? Settings()
    settings.store = store ?? settings.store
    settings.socket = socket ?? settings.socket
    settings.quota = quota ?? settings.quota
    settings.durability = durability ?? settings.durability
    settings.logLevel = logLevel ?? settings.logLevel
    settings.threads = threads ?? settings.threads
    settings.coldAfter = coldAfter ?? settings.coldAfter
    settings.stopAtEOF = stopAtEof || settings.stopAtEOF

    var logger = Logger(label: "lagoond") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = settings.logLevel ?? .notice
    let pool = WorkerPool(threads: settings.threads ?? WorkerPool.coreCount)
    var configuration = DaemonConfiguration()
    if let socket = settings.socket { configuration.socketPath = socket }
    let store = try openStore(settings, configuration, pool)
    let service = DaemonService(
      serving: store, configuration: configuration, logger: logger, stopsAtEndOfInput: settings.stopAtEOF)
    let services = ServiceGroup(
      configuration: ServiceGroupConfiguration(
        services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
    do {
      try await services.run()
    } catch let error as DaemonError {
      throw Failure(exitCode(error), error.description)
    } catch {
      throw Failure(EX_SOFTWARE, "stopping: \(error)")
    }
    pool.close()
  }

  private func openStore(
    _ settings: Settings, _ configuration: DaemonConfiguration, _ pool: WorkerPool
  ) throws -> KVStore {
    var options = StoreOptions(connections: configuration.limits.connections, pool: pool)
    if let quota = settings.quota { options.quotaBytes = quota.bytes }
    if let durability = settings.durability { options.durability = durability }
    options.coldAfterSeconds = (settings.coldAfter ?? .day).seconds
    let path = try settings.store ?? preparedDefaultStore()
    do throws(StoreError) {
      return try KVStore(path: path, options: options)
    } catch {
      switch error.code {
      case .locked: throw Failure(EX_TEMPFAIL, "the store \(path) is in use: \(error.message)")
      case .invalidArgument where error.systemCode == nil:
        // An option that the store refuses; of those that it looks at, people set the quota alone.
        if quota == nil, let config { throw Settings.failure(config, "\"quota\": \(error.message)") }
        throw Failure(EX_USAGE, "--quota: \(error.message)")
      case .invalidArgument, .notFound: throw Failure(EX_CANTCREAT, error.message)
      default: throw Failure(EX_CANTCREAT, "the store \(path) cannot be opened: \(error)")
      }
    }
  }

  /// The default store, which may be the first thing that its user keeps there.
  private func preparedDefaultStore() throws -> String {
    let path = Settings.defaultStore
    do throws(DaemonError) {
      try MissingFolders.make(MissingFolders.parent(of: path))
    } catch {
      throw Failure(exitCode(error), "the store \(path) cannot be made: \(error)")
    }
    return path
  }

  private func exitCode(_ error: DaemonError) -> Int32 {
    switch error.code {
    case .socketInUse: EX_UNAVAILABLE
    case .badSocketPath, .system: EX_CANTCREAT
    case .stoppedTooSoon: EX_SOFTWARE
    }
  }
}

/// Why the daemon could not do its work, and the exit code that says so to scripts.
struct Failure: Error {
  let exitCode: Int32
  let message: String

  init(_ exitCode: Int32, _ message: String) {
    self.exitCode = exitCode
    self.message = message
  }
}

extension Durability: ExpressibleByArgument {}

import Inspection
import LagoonClient
import ToolSupport

/// Sessions as a running daemon shows them.
struct RunningDaemon: SessionSource {
  private let connection: LagoonConnection

  init(socketPath: String) throws {
    connection = try Self.connect(socketPath)
  }

  private static func connect(_ socketPath: String) throws -> LagoonConnection {
    do {
      return try LagoonConnection(socketPath: socketPath, clientName: "lagoon")
    } catch {
      guard error.code == .cannotConnect else { throw ToolError(error.message) }
      throw ToolError(
        """
        \(error.message)
        Start the daemon with `lagoond`, name its socket with --socket, or read a stopped daemon's store with \
        --store DIR.
        """)
    }
  }

  func sessions() throws -> [SessionView] {
    try words { try connection.listSessions().map(SessionView.init) }
  }

  func describe(_ name: String) throws -> SessionDescription {
    try words {
      let details = try connection.describe(name)
      let session = SessionView(details.info)
      return SessionDescription(
        session: session,
        layers: details.layers.map { layer in
          LayerView(
            layer: layer.layer, tokens: layer.tokens, keptRows: layer.keptRows, windowRows: layer.windowRows,
            storedBytes: layer.storedBytes, archiveBytes: layer.archiveBytes, codec: layer.codec.name,
            wholeLayerBytes: session.wholeLayerBytes)
        })
    }
  }

  func keptRows(session: String, layers: [Int]) throws -> KeptRows {
    try words {
      let remote = try connection.openSession(session)
      defer { try? remote.close() }
      // A writer may commit between two layers; then all are read again.
      var attempts = 0
      while true {
        do throws(LagoonError) {
          return try keptRows(remote, layers)
        } catch {
          attempts += 1
          guard error.code == .moved, attempts < 100 else { throw error }
        }
      }
    }
  }

  private func keptRows(_ session: RemoteSession, _ layers: [Int]) throws(LagoonError) -> KeptRows {
    var kept = KeptRows()
    for (index, layer) in layers.enumerated() {
      let rows = try session.fetch(
        layer: layer, positionsOnly: true, ifTokens: index == 0 ? nil : kept.tokens)
      kept.tokens = rows.tokens
      kept.window = rows.windowRows
      kept.layers.append(
        HeatMap.Layer(index: layer, kept: (0..<rows.kvHeads).map { Array(rows.positions(head: $0)) }))
    }
    return kept
  }

  func verify(_ name: String?, progress: @escaping (Int, Int) -> Void) throws -> VerificationView {
    try words {
      // The daemon answers when it is done, and tells nothing on the way.
      progress(
        0, try name.map { try connection.describe($0).info.storedBytes } ?? connection.stats().liveBytes)
      let report = try connection.verify(name)
      return VerificationView(
        records: report.records, bytes: report.bytes, damagedRecords: report.damagedRecords,
        damage: report.damage.map { DamageView($0, session: $0.session ?? name) })
    }
  }

  func requireDeletable(_ names: [String]) throws {
    for name in names {
      try words {
        do throws(LagoonError) {
          _ = try connection.describe(name)
        } catch {
          guard error.code == .corrupt else { throw error }
        }
      }
    }
  }

  func delete(_ name: String) throws { try words { try connection.deleteSession(name) } }

  func statistics() throws -> StoreView {
    try words {
      let stats = try connection.stats()
      return StoreView(
        sessions: stats.sessions, quotaBytes: stats.quotaBytes, liveBytes: stats.liveBytes,
        unreclaimedBytes: stats.unreclaimedBytes, fileBytes: stats.fileBytes,
        quarantinedRecords: stats.quarantinedRecords,
        daemon: DaemonView(
          version: connection.daemon.version, durability: connection.daemon.durability,
          uptimeSeconds: stats.uptimeSeconds, connections: stats.connections, commits: stats.commits,
          commitGroups: stats.commitGroups, committedTokens: stats.committedTokens,
          pagesWritten: stats.pagesWritten, attendCalls: stats.attendCalls, stepCalls: stats.stepCalls,
          requests: stats.requests, failedRequests: stats.failedRequests, stagedBytes: stats.stagedBytes,
          arenaBytes: stats.arenaBytes, residentAnonymousBytes: stats.residentAnonymousBytes,
          demotions: stats.demotions, promotions: stats.promotions))
    }
  }

  /// The daemon's messages say what and where; the codes and request numbers belong to its log.
  private func words<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as LagoonError {
      throw sentence(error.message, session: error.session, layer: error.layer)
    }
  }
}

extension SessionView {
  init(_ info: SessionInfo) {
    let parameters = info.parameters
    self.init(
      name: info.name, layers: parameters.layers, kvHeads: parameters.kvHeads, headDim: parameters.headDim,
      elementType: parameters.elementType.name, elementBytes: parameters.elementType.byteCount,
      policy: parameters.policy.name, sinks: parameters.sinks, lag: parameters.lag, ratio: parameters.ratio,
      valueWeight: parameters.valueWeight, seed: parameters.seed,
      exemptLayers: parameters.exemptLayers.sorted(), archive: parameters.archive,
      codec: parameters.codec.name, ephemeral: parameters.ephemeral, modelFingerprint: parameters.fingerprint,
      tokenHash: info.tokenHash,
      tokens: info.tokens, generation: Int(clamping: info.generation), storedBytes: info.storedBytes,
      hasWriter: info.hasWriter, createdUnixSeconds: info.createdUnixSeconds,
      committedUnixSeconds: info.committedUnixSeconds)
  }
}

extension DamageView {
  init(_ error: LagoonError, session: String?) {
    self.init(
      code: error.code.rawValue, message: error.message, session: error.session ?? session,
      layer: error.layer,
      partition: error.partition)
  }
}

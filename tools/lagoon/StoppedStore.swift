import Inspection
import KVStore
import ToolSupport

/// Sessions of a store that no daemon serves, read only.
struct StoppedStore: SessionSource {
  private let path: String
  private let store: KVStore

  init(path: String) throws {
    self.path = path
    store = try Self.open(path)
  }

  private static func open(_ path: String) throws -> KVStore {
    do {
      return try KVStore.openReadOnly(path: path)
    } catch {
      guard error.code == .locked else { throw ToolError(error.message) }
      throw ToolError(
        """
        The store \(path) is in use by a daemon.
        Ask the daemon (leave --store out, name its socket with --socket), or stop it first.
        """)
    }
  }

  func sessions() throws -> [SessionView] { try words { try store.sessions().map(SessionView.init) } }

  func describe(_ name: String) throws -> SessionDescription {
    try words {
      let (state, layers) = try store.describe(name)
      let session = SessionView(state)
      return SessionDescription(
        session: session,
        layers: layers.map { layer in
          LayerView(
            layer: layer.layer, tokens: layer.tokens, keptRows: layer.keptRows, windowRows: layer.windowRows,
            storedBytes: layer.storedBytes, archiveBytes: layer.archiveBytes, codec: layer.codec.name,
            wholeLayerBytes: session.wholeLayerBytes)
        })
    }
  }

  func keptRows(session name: String, layers: [Int]) throws -> KeptRows {
    try words {
      let session = try store.open(name)
      var kept = KeptRows()
      for layer in layers {
        var heads = [[UInt32]](repeating: [], count: session.configuration.kvHeads)
        var rows: FetchedRows
        repeat {
          rows = try session.fetch(
            layer: layer, firstRow: heads[0].count, rows: Int.max, maxBytes: 16 << 20, positionsOnly: true)
          for head in heads.indices {
            heads[head] += rows.positions[head * rows.count..<(head + 1) * rows.count]
          }
        } while rows.count > 0 && heads[0].count < rows.totalRows
        kept.tokens = rows.tokens
        kept.window = rows.windowRows
        kept.layers.append(HeatMap.Layer(index: layer, kept: heads))
      }
      return kept
    }
  }

  func verify(_ name: String?, progress: @escaping (Int, Int) -> Void) throws -> VerificationView {
    try words {
      let all = try name.map { try store.describe($0).0.storedBytes } ?? store.statistics.liveBytes
      let report = try store.verify(name) { _, bytes in progress(bytes, all) }
      return VerificationView(
        records: report.records, bytes: report.bytes, damage: report.damage.map(DamageView.init))
    }
  }

  func requireDeletable(_ names: [String]) throws {
    throw ToolError(
      "A stopped store is only read. Start `lagoond --store \(path)` and delete the session through it.")
  }

  func delete(_ name: String) throws { try requireDeletable([name]) }

  func statistics() throws -> StoreView {
    let stats = store.statistics
    return StoreView(
      sessions: stats.sessions, quotaBytes: nil, liveBytes: stats.liveBytes,
      unreclaimedBytes: stats.unreclaimedBytes, fileBytes: stats.fileBytes,
      quarantinedRecords: stats.quarantinedRecords)
  }

  private func words<Result>(_ body: () throws -> Result) throws -> Result {
    do { return try body() } catch let error as StoreError {
      throw sentence(error.message, session: error.session, layer: error.layer)
    }
  }
}

extension SessionView {
  init(_ state: SessionState) {
    let configuration = state.configuration
    let retention = configuration.retention
    self.init(
      name: configuration.name, layers: configuration.layers, kvHeads: configuration.kvHeads,
      headDim: configuration.headDim, elementType: configuration.elementType.name,
      elementBytes: configuration.elementType.byteCount, policy: retention.policy.name,
      sinks: retention.sinks, lag: retention.lag, ratio: retention.ratio, valueWeight: retention.valueWeight,
      seed: retention.seed, exemptLayers: retention.exemptLayers.sorted(), archive: configuration.archive,
      codec: configuration.codec.name, ephemeral: configuration.ephemeral,
      modelFingerprint: configuration.fingerprint.bytes,
      tokenHash: state.tokenHash, tokens: state.tokens, generation: Int(clamping: state.generation),
      storedBytes: state.storedBytes, hasWriter: state.hasWriter, createdUnixSeconds: Int(state.created),
      committedUnixSeconds: Int(state.committed))
  }
}

extension DamageView {
  init(_ error: StoreError) {
    self.init(
      code: error.code.rawValue, message: error.message, session: error.session, layer: error.layer,
      partition: error.partition)
  }
}

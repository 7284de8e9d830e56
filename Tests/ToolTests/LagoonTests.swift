import Foundation
import Inspection
import LagKV
import LagoonClient
import Synchronization
import Testing

/// A writer in the background of a test.
private final class WriterState: Sendable {
  let isDone = Mutex(false)
  let commits = Mutex(0)
}

/// `lagoon` itself, against a daemon and against its store when it has stopped.
@Suite struct LagoonTests {
  private func decode<Value: Decodable>(_ type: Value.Type, _ program: Program) throws -> Value {
    try JSONDecoder().decode(type, from: Data(program.output.utf8))
  }

  @Test func listAgreesWithTheDaemon() throws {
    let sample = try SampleStore()
    let list = try sample.lagoon("list", "--json")
    #expect(list.status == 0)
    let sessions = try decode([SessionView].self, list)
    #expect(sessions.map(\.name) == ["kept", "new", "whole"])
    let connection = try LagoonConnection(socketPath: sample.daemon.socketPath)
    for (session, info) in zip(sessions, try connection.listSessions()) {
      #expect(session.tokens == info.tokens && session.storedBytes == info.storedBytes)
      #expect(session.policy == info.parameters.policy.name && session.sinks == 4 && session.lag == 16)
      #expect(session.elementType == info.parameters.elementType.name)
      #expect(UInt64(session.tokenHash, radix: 16) == info.tokenHash && session.tokenHash.count == 16)
      #expect(session.modelFingerprint == String(repeating: "ab", count: 32))
      #expect(
        session.createdUnixSeconds == info.createdUnixSeconds && session.createdUnixSeconds > 1_700_000_000)
    }
    #expect(sessions.map(\.generation) == [1, 0, 1])
    // The keys are a contract with programs.
    let keys = try #require(JSONSerialization.jsonObject(with: Data(list.output.utf8)) as? [[String: Any]])
    #expect(
      Set(keys[0].keys) == [
        "name", "layers", "kv_heads", "head_dim", "element_type", "element_bytes", "policy", "sinks", "lag",
        "ratio", "value_weight", "seed", "exempt_layers", "archive", "codec", "ephemeral",
        "model_fingerprint", "token_hash", "tokens", "generation", "stored_bytes", "has_writer",
        "created_unix_seconds", "committed_unix_seconds",
      ])
    let lines = try sample.lagoon("list").output.split(separator: "\n")
    #expect(lines.count == 5)
    #expect(lines[0].hasPrefix("SESSION  TOKENS"))
    #expect(lines[3].hasPrefix("new ") && lines[3].hasSuffix("  -"))
    #expect(lines[2].hasPrefix("kept        300") && lines[2].contains("lagkv, sinks 4, lag 16, ratio 0.25"))
  }

  @Test func showCountsRowsAsThePolicyDoes() throws {
    let sample = try SampleStore()
    let description = try decode(SessionDescription.self, sample.lagoon("show", "kept", "--json"))
    let retention = try RetentionParameters(
      policy: .lagkv, sinks: 4, lag: 16, ratio: 0.25, exemptLayers: [2])
    for layer in description.layers {
      let geometry = retention.geometry(layer: layer.layer)
      #expect(layer.keptRows == geometry.keptRows(SampleStore.tokens))
      #expect(layer.windowRows == geometry.windowRows(SampleStore.tokens))
      let ratio = Double(SampleStore.tokens) / Double(layer.keptRows + layer.windowRows)
      #expect(layer.rowRatio == ratio)
      // bf16, two heads of 32: 256 bytes of K and V a token.
      #expect(layer.byteRatio == Double(SampleStore.tokens * 256) / Double(layer.storedBytes))
    }
    #expect(description.layers.map(\.layer) == [0, 1, 2])
    #expect(description.session.storedBytes >= description.layers.reduce(0) { $0 + $1.storedBytes })
    let text = try sample.lagoon("show", "kept").output
    #expect(text.contains("policy     lagkv, sinks 4, lag 16, ratio 0.25, layers kept whole: 2"))
    #expect(text.contains("model      abababababab…"))
    let row = try #require(text.split(separator: "\n").first { $0.hasPrefix("    0") })
    #expect(row.split(separator: " ").prefix(4).map(String.init) == ["0", "300", "72", "24"])
  }

  @Test func aStoppedStoreShowsWhatTheDaemonShowed() throws {
    let sample = try SampleStore()
    let commands = [
      ["list", "--json"], ["show", "kept", "--json"], ["show", "whole"], ["verify", "--json"],
    ]
    let running = try commands.map {
      try Program.run("lagoon", $0 + ["--socket", sample.daemon.socketPath]).output
    }
    let picture = sample.folder + "/a.png"
    #expect(try sample.lagoon("heatmap", "kept", "--layer", "all", "-o", picture).status == 0)
    let stats = try decode(StoreView.self, sample.lagoon("stats", "--json"))
    #expect(stats.sessions == 3 && stats.daemon?.committedTokens == 2 * SampleStore.tokens)

    let refused = try sample.lagoonStopped("list")
    #expect(refused.status == 1 && refused.errors.contains("in use by a daemon"))

    sample.daemon.stop()
    let stopped = try commands.map { try Program.run("lagoon", $0 + ["--store", sample.storePath]).output }
    #expect(stopped == running)
    let again = sample.folder + "/b.png"
    #expect(try sample.lagoonStopped("heatmap", "kept", "--layer", "all", "-o", again).status == 0)
    #expect(try Data(contentsOf: URL(filePath: picture)) == Data(contentsOf: URL(filePath: again)))
    let idle = try decode(StoreView.self, sample.lagoonStopped("stats", "--json"))
    #expect(idle.daemon == nil && idle.quotaBytes == nil)
    #expect(idle.liveBytes == stats.liveBytes && idle.sessions == 3)

    let deletion = try sample.lagoonStopped("delete", "--yes", "kept")
    #expect(deletion.status == 1 && deletion.errors.contains("A stopped store is only read"))
    #expect(try sample.lagoonStopped("list", "--json").output == running[0])
  }

  @Test func heatmapTellsWhatItDrew() throws {
    let sample = try SampleStore()
    let path = sample.folder + "/x.png"
    let run = try sample.lagoon("heatmap", "kept", "--layer", "all", "-o", path, "--json")
    #expect(run.status == 0, "\(run.errors)")
    let facts = try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(facts["output"] as? String == path && facts["session"] as? String == "kept")
    #expect(facts["layers"] as? [Int] == [0, 1, 2] && facts["kv_heads"] as? Int == SampleStore.kvHeads)
    #expect(facts["tokens"] as? Int == SampleStore.tokens)
    // Width and height of a PNG are its 17th to 24th byte, most significant first.
    let header = try Data(contentsOf: URL(filePath: path))[16..<24]
    #expect(header.prefix(4).reduce(0) { $0 << 8 | Int($1) } == facts["width"] as? Int)
    #expect(header.suffix(4).reduce(0) { $0 << 8 | Int($1) } == facts["height"] as? Int)
  }

  @Test func deletingNeedsConsent() throws {
    let sample = try SampleStore()
    let asked = try sample.lagoon("delete", "kept")
    #expect(asked.status == 1 && asked.errors.contains("--yes"))
    #expect(try sample.lagoon("show", "kept").status == 0)
    let deleted = try sample.lagoon("delete", "--yes", "kept", "new", "--json")
    #expect(try decode([String: [String]].self, deleted) == ["deleted": ["kept", "new"]])
    #expect(try decode([SessionView].self, sample.lagoon("list", "--json")).map(\.name) == ["whole"])
  }

  /// One name that is no session's: nothing is deleted. One that cannot be deleted: what is gone is said.
  @Test func deletionsThatFailSayWhatIsGone() throws {
    let sample = try SampleStore()
    func names() throws -> [String] {
      try decode([SessionView].self, sample.lagoon("list", "--json")).map(\.name)
    }
    for more in [[], ["--json"]] {
      let missing = try Program.run(
        "lagoon", ["delete", "--yes", "kept", "typo", "--socket", sample.daemon.socketPath] + more)
      #expect(missing.status == 1 && missing.errors.contains("typo") && missing.output.isEmpty)
    }
    #expect(try names() == ["kept", "new", "whole"])
    #expect(try sample.lagoon("delete", "--yes", "new", "new").errors.contains("new is named twice"))

    let writer = try LagoonConnection(socketPath: sample.daemon.socketPath).openSession("kept")
    try writer.begin(capacity: 1)
    let busy = try sample.lagoon("delete", "--yes", "new", "kept", "whole", "--json")
    #expect(busy.status == 1 && busy.errors.contains("Not deleted: kept, whole."), "\(busy.errors)")
    #expect(try decode([String: [String]].self, busy) == ["deleted": ["new"]])
    #expect(try names() == ["kept", "whole"])
    try writer.close()
  }

  /// Names that look the same and are other bytes.
  @Test func namesAreBytes() throws {
    let sample = try SampleStore()
    let connection = try LagoonConnection(socketPath: sample.daemon.socketPath)
    let twins = ["caf\u{E9}", "cafe\u{301}"]
    for name in twins { _ = try connection.createSession(SampleStore.parameters(name, .full, .float32)) }
    let deleted = try sample.lagoon("delete", "--yes", twins[0], twins[1])
    #expect(deleted.status == 0, "\(deleted.errors)")
    #expect(try decode([SessionView].self, sample.lagoon("list", "--json")).count == 3)
  }

  @Test func outputThatCannotBeWrittenIsAnError() throws {
    let sample = try SampleStore()
    let picture = sample.folder + "/x.png"
    for arguments in [
      ["list"], ["show", "kept"], ["verify"], ["verify", "--json"], ["stats"],
      ["heatmap", "kept", "--layer", "0", "-o", picture], ["delete", "--yes", "new"],
    ] {
      let run = try Program.run(
        "lagoon", arguments + ["--socket", sample.daemon.socketPath], shell: "exec \"$@\" >/dev/full")
      #expect(
        run.status == 1 && run.errors.contains("cannot write the output: No space left"), "\(arguments)")
    }
  }

  @Test func damageIsFoundAndNamed() throws {
    let sample = try SampleStore()
    let sound = try sample.lagoon("verify")
    #expect(sound.status == 0 && sound.output.contains(": sound"))
    sample.daemon.stop()
    // One bit of a key that the store holds as it came.
    let file = sample.storePath + "/data.mdb"
    var bytes = try Data(contentsOf: URL(filePath: file))
    let row = sample.wholeKeys[0..<SampleStore.headDim].withUnsafeBytes { Data($0) }
    let place = try #require(bytes.firstRange(of: row))
    bytes[place.lowerBound + 5] ^= 0x10
    try bytes.write(to: URL(filePath: file))

    let report = try sample.lagoonStopped("verify")
    #expect(report.status == 1)
    #expect(report.output.contains("damaged: session whole, layer 1"))
    #expect(report.output.contains(": 1 damaged"))
    let json = try sample.lagoonStopped("verify", "whole", "--json")
    #expect(json.status == 1)
    #expect(try decode(VerificationView.self, json).damage.map(\.code) == ["corrupt"])
    #expect(try sample.lagoonStopped("verify", "kept").status == 0)
  }

  @Test func aSessionThatIsBeingWrittenCanBeDrawn() throws {
    let sample = try SampleStore()
    let socket = sample.daemon.socketPath
    let state = WriterState()
    let finished = DispatchSemaphore(value: 0)
    DispatchQueue.global().async {
      defer { finished.signal() }
      do {
        let session = try LagoonConnection(socketPath: socket).openSession("new")
        let zeros = [Float](repeating: 0, count: SampleStore.kvHeads * SampleStore.headDim)
        let row = HostTensor(
          floats: zeros, tokens: 1, heads: SampleStore.kvHeads, headDim: SampleStore.headDim)
        try session.begin(capacity: 1)
        while !state.isDone.withLock({ $0 }) {
          for layer in 0..<SampleStore.layers { try session.append(layer: layer, keys: row, values: row) }
          try session.commit(tokenIDs: [0], keepWriting: true)
          state.commits.withLock { $0 += 1 }
        }
      } catch {
        Issue.record(error)
      }
    }
    defer {
      state.isDone.withLock { $0 = true }
      finished.wait()
    }
    let deadline = ContinuousClock.now + .seconds(30)
    while state.commits.withLock({ $0 }) == 0, ContinuousClock.now < deadline { usleep(1000) }
    for _ in 0..<5 {
      let drawn = try sample.lagoon("heatmap", "new", "--layer", "all", "-o", sample.folder + "/x.png")
      #expect(drawn.status == 0, "\(drawn.errors)")
    }
    #expect(state.commits.withLock { $0 } > 5)
  }

  @Test func errorsSayWhatToDo() throws {
    let sample = try SampleStore()
    let missing = try sample.lagoon("show", "nobody")
    #expect(missing.status == 1 && missing.errors.contains("nobody"))
    let layer = try sample.lagoon("heatmap", "kept", "--layer", "3", "-o", sample.folder + "/x.png")
    #expect(layer.status == 1 && layer.errors.contains("layers 0 to 2; there is no layer 3"))
    let empty = try sample.lagoon("heatmap", "new", "--layer", "0", "-o", sample.folder + "/x.png")
    #expect(empty.status == 1 && empty.errors.contains("holds no tokens yet"))
    let unwritable = try sample.lagoon("heatmap", "kept", "--layer", "0", "-o", "/nowhere/x.png")
    #expect(unwritable.status == 1 && unwritable.errors.contains("/nowhere/x.png"))

    let nobody = try Program.run("lagoon", ["list", "--socket", sample.folder + "/no.sock"])
    #expect(nobody.status == 1)
    #expect(nobody.errors.contains(sample.folder + "/no.sock") && nobody.errors.contains("lagoond"))
    let nowhere = try Program.run("lagoon", ["list", "--store", sample.folder + "/no"])
    #expect(nowhere.status == 1 && nowhere.errors.contains(sample.folder + "/no"))
    let both = try Program.run("lagoon", ["list", "--store", "a", "--socket", "b"])
    #expect(both.status == 64)
  }
}

import GoldenCases
import LagKV
import LagoonClient
import ToolSupport

/// One way of taking a golden case through the daemon.
struct GoldenVariant {
  enum Cut: String, CaseIterable {
    case whole
    case one = "1"
    case seven = "7"
    case lag = "L"
    /// The chunks that an LRSA case was made with.
    case own
  }

  let cut: Cut
  /// Through the arena, token-major; otherwise inline, head-major: between them every case sees both layouts.
  let arena: Bool
  /// `kill -9` and restart once half of the tokens are committed, with a further chunk staged.
  let kill: Bool

  static func all(of golden: GoldenCase) -> [GoldenVariant] {
    Cut.allCases.filter { $0 != .own || golden.kind == .lrsa }.flatMap { cut in
      [false, true].flatMap { arena in
        [false, true].map { GoldenVariant(cut: cut, arena: arena, kill: $0) }
      }
    }
  }

  var name: String { "cut \(cut.rawValue), \(arena ? "arena" : "inline")\(kill ? ", kill -9" : "")" }

  func chunks(_ golden: GoldenCase) throws -> [Range<Int>] {
    let tokens = golden.tokens
    let size: Int
    switch cut {
    case .whole: size = max(tokens, 1)
    case .one: size = 1
    case .seven: size = 7
    case .lag: size = golden.lag
    case .own: return try golden.chunks()
    }
    return stride(from: 0, to: tokens, by: size).map { $0..<min($0 + size, tokens) }
  }
}

/// The largest differences that a run, or several, showed.
struct GoldenErrors {
  var out = 0.0
  var logSumExp = 0.0
  /// Of queries, keys and values; 0 where a case has none.
  var gradients = 0.0
  var misses: [String] = []

  mutating func merge(_ other: GoldenErrors) {
    out = max(out, other.out)
    logSumExp = max(logSumExp, other.logSumExp)
    gradients = max(gradients, other.gradients)
    misses += other.misses
  }
}

/// Takes one case through one variant: streams it in, then compares what the daemon kept and answered.
struct GoldenRun {
  /// Absolute; the goldens are float64 results stored as f32, the daemon accumulates in f32.
  static let tolerance = 5e-6
  static let gradientTolerance = 1e-5
  /// Commits are fewer than appends, so that rows of one partition are partly staged and partly stored.
  static let chunksPerCommit = 3

  let golden: GoldenCase
  let variant: GoldenVariant
  let daemon: PrivateDaemon

  func run() throws -> GoldenErrors {
    var errors = GoldenErrors()
    switch golden.kind {
    case .attention:
      errors.merge(try compareAttention(policy: .lagkv, out: "out", logSumExp: "lse"))
      errors.merge(try compareAttention(policy: .full, out: "out_full", logSumExp: "lse_full"))
    case .lrsa:
      errors.merge(try compareSteps())
    }
    errors.misses = errors.misses.map { "\(variant.name): \($0)" }
    return errors
  }

  private func connect() throws -> LagoonConnection {
    try LagoonConnection(
      socketPath: daemon.socketPath, clientName: "lagoon-bench golden",
      arenaBytes: variant.arena ? 4 << 20 : 0)
  }

  private func sessionParameters(_ policy: PolicyKind) -> SessionParameters {
    var session = SessionParameters(
      name: "golden", layers: 1, kvHeads: golden.kvHeads, headDim: golden.headDim,
      elementType: golden.sessionType)
    session.policy = policy
    session.sinks = golden.sinks
    session.lag = golden.lag
    session.ratio = golden.ratio
    session.valueWeight = golden.valueWeight
    session.archive = golden.kind == .lrsa
    return session
  }

  private func tensor(_ name: String, _ tokens: Range<Int>) throws -> HostTensor {
    let bytes = try golden.rows(name, tokens, headMajor: !variant.arena)
    return HostTensor(
      bytes: bytes, elementType: golden.elementType, tokens: tokens.count,
      heads: name == "q" || name == "w" ? golden.queryHeads : golden.kvHeads, headDim: golden.headDim,
      layout: variant.arena ? .tokenMajor : .headMajor)
  }

  /// Tokens of a tensor `[queryHeads, tokens]` in the variant's layout; nil where a case has none of this name.
  private func sums(_ name: String, _ tokens: Range<Int>) throws -> [Float]? {
    guard golden.tensors.contains(name) else { return nil }
    let all = try golden.floats(name)
    if variant.arena {
      return tokens.flatMap { token in (0..<golden.queryHeads).map { all[$0 * golden.tokens + token] } }
    }
    return (0..<golden.queryHeads).flatMap { head in tokens.map { all[head * golden.tokens + $0] } }
  }

  /// Streams the whole case in. `feed` gets each chunk's rows into the session, and is called again for chunks that a kill
  /// took away.
  private func stream(
    policy: PolicyKind, feed: (RemoteSession, Range<Int>) throws -> Void,
    then finish: (RemoteSession, inout GoldenErrors) throws -> Void
  ) throws -> GoldenErrors {
    var errors = GoldenErrors()
    var connection = try connect()
    var session = try connection.createSession(sessionParameters(policy))
    try session.begin(capacity: max(golden.tokens, 1))
    let chunks = try variant.chunks(golden)
    var committed = 0
    var killed = false
    var index = 0
    while index < chunks.count {
      try feed(session, chunks[index])
      index += 1
      guard index % Self.chunksPerCommit == 0 || index == chunks.count else { continue }
      let end = chunks[index - 1].upperBound
      try session.commit(tokenIDs: (committed..<end).map(UInt32.init), keepWriting: true)
      committed = end
      guard variant.kill, !killed, committed * 2 >= golden.tokens else { continue }
      killed = true
      if index < chunks.count { try feed(session, chunks[index]) }  // staged and never committed
      daemon.kill()
      try daemon.start()
      connection = try connect()
      session = try connection.openSession("golden")
      if session.info.tokens != committed {
        errors.misses.append(
          "after kill -9 the session holds \(session.info.tokens) tokens, not \(committed)")
      }
      try session.begin(capacity: max(golden.tokens, 1))
    }
    try session.abort()
    try comparePositions(session, policy: policy, &errors)
    try finish(session, &errors)
    try connection.deleteSession("golden")
    return errors
  }

  private func comparePositions(
    _ session: RemoteSession, policy: PolicyKind, _ errors: inout GoldenErrors
  ) throws {
    let everything = Array(repeating: (0..<golden.tokens).map(UInt32.init), count: golden.kvHeads)
    let expected = policy == .full ? everything : try golden.retained()
    let kept = try session.fetch(layer: 0, positionsOnly: true)
    for (head, want) in expected.enumerated() where want != Array(kept.positions(head: head)) {
      let have = kept.positions(head: head)
      let lost = Set(want).subtracting(have).count
      errors.misses.append("policy \(policy.name), head \(head): \(lost) of \(want.count) positions differ")
    }
  }

  private func compareAttention(policy: PolicyKind, out: String, logSumExp: String) throws -> GoldenErrors {
    try stream(policy: policy) { session, chunk in
      try session.append(layer: 0, keys: try tensor("k", chunk), values: try tensor("v", chunk))
    } then: { session, errors in
      let queries = try golden.queries
      let attention = try session.attend(layer: 0, queries: try tensor("q", 0..<queries))
      compare(attention, 0..<queries, of: queries, out: out, logSumExp: logSumExp, &errors)
    }
  }

  private func compareSteps() throws -> GoldenErrors {
    var steps: [Range<Int>: Attention] = [:]
    return try stream(policy: .lagkv) { session, chunk in
      steps[chunk] = try session.step(
        layer: 0, queries: try tensor("q", chunk), keys: try tensor("k", chunk),
        values: try tensor("v", chunk))
    } then: { session, errors in
      for (chunk, attention) in steps {
        compare(attention, chunk, of: golden.tokens, out: "out", logSumExp: "lse", &errors)
      }
      try compareGradients(session, &errors)
    }
  }

  /// Goes back over the session as a trainer does: recompute a chunk's attention, then its gradients, from the end on.
  private func compareGradients(_ session: RemoteSession, _ errors: inout GoldenErrors) throws {
    let pass = try session.beginBackward()
    var worst: [String: Double] = [:]
    for chunk in try variant.chunks(golden).reversed() {
      let queries = try tensor("q", chunk)
      let attention = try session.stepAt(
        layer: 0, first: chunk.lowerBound, queries: queries,
        rows: (try tensor("k", chunk), try tensor("v", chunk)))
      let gradients = try pass.step(
        layer: 0, first: chunk.lowerBound, queries: queries, attention: attention,
        dOut: try tensor("w", chunk), dLogSumExp: try sums("u", chunk))
      for (name, heads, have) in [
        ("dq", golden.queryHeads, gradients.queries), ("dk", golden.kvHeads, gradients.keys),
        ("dv", golden.kvHeads, gradients.values),
      ] {
        worst[name] = max(worst[name] ?? 0, try difference(have, chunk, heads: heads, from: name))
      }
    }
    try pass.close()
    for (name, error) in worst.sorted(by: { $0.key < $1.key }) {
      if error > Self.gradientTolerance { errors.misses.append("\(name) is off by \(error)") }
      errors.gradients = max(errors.gradients, error)
    }
  }

  /// The largest difference of a chunk's rows from a tensor stored as `[heads, tokens, headDim]`.
  private func difference(
    _ rows: [Float], _ chunk: Range<Int>, heads: Int, from name: String
  ) throws -> Double {
    let expected = try golden.floats(name)
    var worst = 0.0
    for head in 0..<heads {
      for (row, token) in chunk.enumerated() {
        let answer = variant.arena ? row * heads + head : head * chunk.count + row
        let reference = head * golden.tokens + token
        for channel in 0..<golden.headDim {
          worst = max(
            worst,
            distance(rows[answer * golden.headDim + channel], expected[reference * golden.headDim + channel]))
        }
      }
    }
    return worst
  }

  /// Compares `attention` of the query tokens `tokens` with tensors stored as `[queryHeads, count, …]`.
  private func compare(
    _ attention: Attention, _ tokens: Range<Int>, of count: Int, out: String, logSumExp: String,
    _ errors: inout GoldenErrors
  ) {
    guard let outs = try? golden.floats(out), let sums = try? golden.floats(logSumExp) else {
      errors.misses.append("the case has no \(out) or \(logSumExp)")
      return
    }
    var (worstOut, worstSum) = (0.0, 0.0)
    for head in 0..<golden.queryHeads {
      for (row, token) in tokens.enumerated() {
        let answer =
          variant.arena ? row * golden.queryHeads + head : head * tokens.count + row
        let reference = head * count + token
        worstSum = max(worstSum, distance(attention.logSumExp[answer], sums[reference]))
        for channel in 0..<golden.headDim {
          let have = attention.out[answer * golden.headDim + channel]
          worstOut = max(worstOut, distance(have, outs[reference * golden.headDim + channel]))
        }
      }
    }
    if worstOut > Self.tolerance { errors.misses.append("\(out) is off by \(worstOut)") }
    if worstSum > Self.tolerance { errors.misses.append("\(logSumExp) is off by \(worstSum)") }
    errors.out = max(errors.out, worstOut)
    errors.logSumExp = max(errors.logSumExp, worstSum)
  }

  /// A NaN is infinitely far from everything.
  private func distance(_ a: Float, _ b: Float) -> Double {
    let difference = abs(Double(a) - Double(b))
    return difference.isNaN ? .infinity : difference
  }
}

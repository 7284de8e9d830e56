import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import LanguageModel
import ModelToolSupport
import ToolSupport
import Transformer

struct Tokens: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "A document through the model into a session, as lagoon-lm ingest does it.",
    discussion: """
      A fresh session of a private daemon each time, committed chunk by chunk. The ceiling is the arithmetic of the forward pass \
      (linear layers without the head, and attention over what is kept) at the rate of the linear layers' products on oneDNN, \
      measured between the rounds.

      EXAMPLES
        lagoon-bench tokens data/kjv-tiny --text kjv.txt
        lagoon-bench tokens data/kjv-tiny --text kjv.txt --tokens 32768 --policy full --json
        tools/compare/ingest.py data/kjv-tiny --text kjv.txt --bench .build/release/lagoon-bench
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var retention: RetentionOptions
  @OptionGroup var codec: CodecOption

  @Option(help: "The document: a file.")
  var text: String

  @Option(help: "Tokens of it that are read.")
  var tokens = 16_384

  @Option(help: "Times that it is read, after one that does not count.")
  var rounds = 5

  @OptionGroup var server: ServeOption
  @OptionGroup var output: JSONOption

  func validate() throws {
    guard tokens > 0, rounds > 0 else { throw ValidationError("--tokens and --rounds must be positive") }
  }

  func run() throws {
    let decoder = try model.load()
    let c = decoder.configuration
    let document = try model.firstTokens(tokens, of: text, c)
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let connection = try LagoonConnection(
      socketPath: daemon.socketPath, arenaBytes: DaemonAttention.arenaBytes(c, chunk: model.chunk))

    let parameters = try retention.parameters(
      name: "tokens", c, fingerprint: [], dtype: .bfloat16, codec: codec)
    func read() throws {
      let session = try connection.createSession(parameters)
      try SessionFeed(model: decoder, session: session, chunk: model.chunk)
        .run(document, from: 0, logits: .none) { _, _ in }
      try session.close()
    }
    func timed() throws -> Double {
      defer { try? connection.deleteSession(parameters.name) }
      return try seconds(read)
    }
    if server.serve { return try server.answerSeconds(timed) }

    let products = try DenseProducts(
      c, try MatmulBackend(model.compute), documents: 1, tokens: min(model.chunk, tokens))
    var (times, rates) = ([Double](), [Double]())
    for round in 0...rounds {
      let time = try timed()
      if round == 0 { continue }
      times.append(time)
      rates.append(try products.rate())
    }
    let operations = operations(c, parameters)
    try report(
      [
        Figure(
          name: "ingest of \(Units.count(tokens)) tokens, \(decoder.computeSummary)",
          figure: Double(tokens) / times.median, ceiling: Double(tokens) * rates.median / operations,
          unit: "tokens/s", ceilingIs: "its arithmetic on oneDNN",
          details: ["seconds_median": times.median, "gigaflops": operations / times.median / 1e9])
      ], json: output.json)
  }

  /// Floating-point operations of the forward pass.
  private func operations(_ c: ModelConfiguration, _ parameters: SessionParameters) -> Double {
    let (queryWidth, keyWidth) = (c.queryHeads * c.headDim, c.kvHeads * c.headDim)
    let weights = c.hiddenSize * (2 * queryWidth + 2 * keyWidth + 3 * c.intermediateSize)
    let linear = 2 * Double(tokens) * Double(weights * c.layers)
    let pairs = (0..<c.layers).reduce(0.0) { sum, layer in
      sum + (parameters.geometry(layer: layer)?.attendedPairs(tokens) ?? 0)
    }
    return linear + 4 * pairs * Double(queryWidth)
  }
}

extension TokenGeometry {
  /// How many keys the queries of a head see under LRSA attention, summed over the first `tokens` queries.
  func attendedPairs(_ tokens: Int) -> Double {
    // As the session stands when a query's partition began, and the query's own partition up to itself.
    (0..<tokens).reduce(0.0) { sum, token in
      let begin = token < sinks ? 0 : token - (token - sinks) % lag
      return sum + Double(totalRows(begin) + token - begin + 1)
    }
  }
}

extension ModelOptions {
  /// The first tokens of a file.
  ///
  /// - Throws: where it has fewer.
  func firstTokens(_ count: Int, of path: String, _ configuration: ModelConfiguration) throws -> [UInt32] {
    let ids = try tokenizer(configuration).encode(Input.source(path), isBeginning: true)
    guard ids.count >= count else { throw ToolError("\(path) has \(ids.count) tokens, fewer than \(count)") }
    return Array(ids.prefix(count))
  }
}

extension SessionParameters {
  fileprivate func geometry(layer: Int) -> TokenGeometry? {
    try? RetentionParameters(
      policy: policy, sinks: sinks, lag: lag, ratio: ratio, valueWeight: valueWeight, seed: seed,
      exemptLayers: exemptLayers
    ).geometry(layer: layer)
  }
}

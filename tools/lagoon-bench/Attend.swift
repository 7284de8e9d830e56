import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ModelToolSupport
import ToolSupport
import Transformer

struct Attend: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Attention through the daemon, of one query or of a chunk, beside what the machine could do at best.",
    discussion: """
      32 query heads over 8 KV heads × 128 and N kept keys, answered over the socket through the arena. One query (--decode) is
      measured beside how fast all cores together read memory; 128 queries (--chunk) beside the rate of oneDNN's matmuls of
      the same shapes, whose keys and values are laid out for it beforehand. Bytes are those of the rows as they were given, whatever the codec stores. Ceilings are measured between the attends.

      EXAMPLES
        lagoon-bench attend --keys 32768 --dtype bf16
        lagoon-bench attend --chunk --json
      """)

  enum Work: String, EnumerableFlag {
    case decode, chunk

    static func help(for value: Work) -> ArgumentHelp? {
      value == .decode ? "One query, from the raw store and from the compressed one." : "128 queries."
    }
  }

  @Flag var work = Work.decode

  @Option(help: "Kept keys; several may be given. Default: 8192 and 32768.")
  var keys: [Int] = []

  @Option(help: "Element types of the store: f32, bf16 or f16.")
  var dtype: [ElementType] = [.bfloat16, .float32]

  @Option(help: "Attends and ceiling passes a figure. Default: 31, for a chunk 9.")
  var rounds: Int?

  @OptionGroup var output: JSONOption
  @OptionGroup var server: ServeOption

  func validate() throws {
    guard rounds ?? 1 > 0, keys.allSatisfy({ $0 >= 256 && $0 % 256 == 0 }) else {
      throw ValidationError("--rounds must be positive and --keys multiples of 256")
    }
  }

  func run() throws {
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 64 << 20)
    let counts = keys.isEmpty ? [8192, 32768] : keys
    if server.serve, let type = dtype.first, let count = counts.first {
      let ready = try prepared(
        connection, BenchShape(), count, type, .raw, tokens: work == .decode ? 1 : Self.chunkTokens)
      return try server.answer { _ = try ready.session.attend(layer: 0, queries: ready.query) }
    }
    try report(
      work == .decode ? decode(connection, counts) : chunk(connection, counts), json: output.json)
  }

  private func decode(_ connection: LagoonConnection, _ counts: [Int]) throws -> [Figure] {
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let ceiling = Ceiling.MemoryRead(bytes: 512 << 20, threads: cores)
    let shape = BenchShape()
    var figures: [Figure] = []
    for (type, codec) in dtype.map({ ($0, Codec.raw) }) + dtype.map({ ($0, .zstd) }) + [(.bfloat16, .q8)] {
      for count in counts {
        let (times, limits) = try measured(
          connection, shape, count, type, codec, tokens: 1, rounds: rounds ?? 31
        ) { ceiling.measure() }
        let bytes = Double(shape.bytes(tokens: count, type))
        figures.append(
          Figure(
            name: "attend decode \(type.name)\(codec == .raw ? "" : " \(codec.name)"), \(count) keys",
            figure: bytes / times.median / 1e9, ceiling: limits.median / 1e9, unit: "GB/s",
            ceilingIs: "memory read, \(cores) threads",
            target: codec == .raw && count >= 32_768 ? .atLeast(0.85) : nil,
            details: ["keys": Double(count), "milliseconds_p50": times.median * 1e3]))
      }
    }
    return figures
  }

  private func chunk(_ connection: LagoonConnection, _ counts: [Int]) throws -> [Figure] {
    let shape = BenchShape()
    let tokens = Self.chunkTokens
    return try dtype.flatMap { type in
      try counts.map { count in
        let products = try AttentionProducts(shape, tokens: tokens, keys: count, type)
        let (times, limits) = try measured(
          connection, shape, count, type, .raw, tokens: tokens, rounds: rounds ?? 9
        ) { try products.rate() }
        return Figure(
          name: "attend chunk \(type.name), \(tokens) queries, \(count) keys",
          figure: products.operations / times.median / 1e9, ceiling: limits.median / 1e9, unit: "GFLOP/s",
          ceilingIs: "oneDNN matmul", target: .atLeast(0.6),
          details: ["keys": Double(count), "milliseconds_p50": times.median * 1e3])
      }
    }
  }

  /// Seconds of each attend, and what the ceiling gave between them.
  private func measured(
    _ connection: LagoonConnection, _ shape: BenchShape, _ count: Int, _ type: ElementType, _ codec: Codec,
    tokens: Int, rounds: Int, ceiling: () throws -> Double
  ) throws -> (times: [Double], limits: [Double]) {
    let (session, query) = try prepared(connection, shape, count, type, codec, tokens: tokens)
    var (times, limits) = ([Double](), [Double]())
    for _ in 0..<rounds {
      times.append(try seconds { try session.attend(layer: 0, queries: query) })
      limits.append(try ceiling())
    }
    try session.close()
    try connection.deleteSession(session.parameters.name)
    return (times, limits)
  }

  private static let chunkTokens = 128

  private func prepared(
    _ connection: LagoonConnection, _ shape: BenchShape, _ count: Int, _ type: ElementType, _ codec: Codec,
    tokens: Int
  ) throws -> (session: RemoteSession, query: HostTensor) {
    let session = try shape.filled(connection, keys: count, type, codec: codec)
    var rows = SyntheticRows(seed: 7)
    let query = rows.tensor(type, tokens: tokens, heads: shape.queryHeads, headDim: shape.headDim)
    _ = try session.attend(layer: 0, queries: query)  // first read: checksums
    return (session, query)
  }
}

/// The two products of attention over one KV head, as plain matmuls: logits, and weighted values.
private struct AttentionProducts {
  private let logits: PlainProduct
  private let values: PlainProduct
  /// Floating-point operations of all heads.
  let operations: Double

  init(_ shape: BenchShape, tokens: Int, keys: Int, _ type: ElementType) throws {
    let backend = try MatmulBackend(type == .bfloat16 ? .bfloat16 : .float32)
    let rows = tokens * (shape.queryHeads / shape.kvHeads)
    logits = try PlainProduct(backend, rows: rows, inputs: shape.headDim, outputs: keys)
    values = try PlainProduct(backend, rows: rows, inputs: keys, outputs: shape.headDim)
    operations = (logits.operations + values.operations) * Double(shape.kvHeads)
  }

  /// Operations per second.
  func rate() throws -> Double {
    let time = try seconds {
      try logits.run()
      try values.run()
    }
    return (logits.operations + values.operations) / time
  }
}

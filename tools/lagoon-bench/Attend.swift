import ArgumentParser
import Foundation
import LagKV
import LagoonClient
import ToolSupport

extension ElementType: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
}

struct Attend: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Decode attention through the daemon, beside the machine's memory-read bandwidth.",
    discussion: """
      One query of 32 heads over 8 KV heads × 128 and N kept keys, read straight from the store's map, answered over the socket
      through the arena. The ceiling is how fast all cores together read memory, measured between the attends.
      """)

  @Option(help: "Kept keys; several may be given.")
  var keys: [Int] = [8192, 32768]

  @Option(help: "Element types of the store: f32, bf16 or f16.")
  var dtype: [ElementType] = [.bfloat16, .float32]

  @Option(help: "Attends and ceiling passes a figure.")
  var rounds = 31

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard rounds > 0, keys.allSatisfy({ $0 >= 256 && $0 % 256 == 0 }) else {
      throw ValidationError("--rounds must be positive and --keys multiples of 256")
    }
  }

  func run() throws {
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let ceiling = Ceiling.MemoryRead(bytes: 512 << 20, threads: cores)
    let shape = BenchShape()
    var figures: [Figure] = []
    for type in dtype {
      for count in keys {
        let connection = try LagoonConnection(socketPath: daemon.socketPath, arenaBytes: 32 << 20)
        let session = try shape.filled(connection, keys: count, type)
        var rows = SyntheticRows(seed: 7)
        let query = rows.tensor(type, tokens: 1, heads: shape.queryHeads, headDim: shape.headDim)
        let bytes = Double(shape.bytes(tokens: count, type))
        _ = try session.attend(layer: 0, queries: query)  // first read: checksums
        var rates: [Double] = []
        var limits: [Double] = []
        for _ in 0..<rounds {
          rates.append(bytes / (try seconds { try session.attend(layer: 0, queries: query) }))
          limits.append(ceiling.measure())
        }
        figures.append(
          Figure(
            name: "attend decode \(type.name), \(count) keys", figure: rates.median / 1e9,
            ceiling: limits.median / 1e9, unit: "GB/s", ceilingIs: "memory read, \(cores) threads",
            details: ["milliseconds_p50": bytes / rates.median * 1e3]))
        try connection.deleteSession(session.parameters.name)
      }
    }
    try report(figures, json: output.json)
  }
}

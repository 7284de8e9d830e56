import ArgumentParser
import Foundation
import LRSATraining
import LagoonClient
import ToolSupport

struct LongDocument: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "long-document",
    abstract: "Time, memory and disk of one training step over documents of several lengths.",
    discussion: """
      Each length is one step of `lagoon-train posttrain` over the first tokens of the text, through a daemon of its own. Memory is \
      RssAnon + RssShmem of trainer and daemon together, the highest of ten samples a second; disk is what the daemon counts \
      against its quota, accumulators included. The floor is the step's products at oneDNN's rate, measured behind each. Options \
      behind -- go to posttrain.

      EXAMPLES
        lagoon-bench long-document data/kjv-tiny --text kjv.txt --lengths 16384,32768 -- --lag 128 --ratio 0.125
        lagoon-bench long-document data/kjv-tiny --text kjv.txt --lengths 16384 -- --policy full
      """)

  @Argument(help: "Model folder; its tokens are bytes.")
  var model: String

  @Option(help: "The text: a file.")
  var text: String

  @Option(help: "Tokens of the documents, with commas.")
  var lengths: String

  @OptionGroup var output: JSONOption

  @Argument(parsing: .postTerminator, help: "Options of lagoon-train posttrain.")
  var options: [String] = []

  struct Row: Encodable {
    var tokens: Int
    var seconds: Double
    var tokensPerSecond: Double
    var loss: Double
    var memoryBytes = 0
    var trainerBytes = 0
    var daemonBytes = 0
    var diskBytes = 0
    /// What the step's products alone would take at oneDNN's rate.
    var floorSeconds = 0.0

    enum CodingKeys: String, CodingKey {
      case tokens, seconds, loss
      case tokensPerSecond = "tokens_per_second"
      case memoryBytes = "peak_memory_bytes"
      case trainerBytes = "peak_trainer_bytes"
      case daemonBytes = "peak_daemon_bytes"
      case diskBytes = "peak_store_bytes"
      case floorSeconds = "floor_seconds"
    }
  }

  func run() throws {
    let lengths = try self.lengths.split(separator: ",").map { part in
      guard let length = Int(part), length >= 4 else {
        throw ValidationError("--lengths: \(part) is no length")
      }
      return length
    }
    guard let document = FileManager.default.contents(atPath: text) else {
      throw ToolError("\(text) cannot be read")
    }
    var rows: [Row] = []
    for length in lengths {
      guard document.count >= length else {
        throw ToolError("\(text) has \(document.count) bytes, fewer than \(length)")
      }
      let row = try measure(document.prefix(length))
      rows.append(row)
      if !output.json { try Output.write(describe(row) + "\n") }
    }
    if output.json { try Output.json(rows) }
  }

  private func describe(_ row: Row) -> String {
    "\(Units.count(row.tokens)) tokens: \(Units.seconds(row.seconds)), \(Units.rate(row.tokensPerSecond, "tokens")), "
      + "memory \(Units.bytes(row.memoryBytes)) (trainer \(Units.bytes(row.trainerBytes)), daemon "
      + "\(Units.bytes(row.daemonBytes))), disk \(Units.bytes(row.diskBytes)), loss \(row.loss), "
      + "\(short(row.floorSeconds / row.seconds)) of the floor's speed (\(Units.seconds(row.floorSeconds)))"
  }

  private func measure(_ document: Data) throws -> Row {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-long-\(UUID().uuidString)"
    let token = ExitCleanup.add { try? FileManager.default.removeItem(atPath: folder) }
    defer {
      try? FileManager.default.removeItem(atPath: folder)
      ExitCleanup.remove(token)
    }
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try document.write(to: URL(fileURLWithPath: folder + "/document.txt"))
    let daemon = try PrivateDaemon()
    defer { daemon.stop() }
    let trainer = Process()
    trainer.executableURL = URL(fileURLWithPath: try PrivateDaemon.findExecutable("lagoon-train"))
    trainer.arguments =
      [
        "posttrain", model, "--data", folder + "/document.txt", "--length", "\(document.count)", "--steps",
        "1",
        "--warm-up", "0", "--socket", daemon.socketPath, "-o", folder + "/run", "--json",
      ] + options
    let printed = Pipe()
    trainer.standardOutput = printed
    let observer = try LagoonConnection(socketPath: daemon.socketPath, clientName: "long-document")
    var row = Row(tokens: document.count, seconds: 0, tokensPerSecond: 0, loss: .nan)
    try trainer.run()
    var samples = 0
    while trainer.isRunning {
      let parts = [trainer.processIdentifier, daemon.processIdentifier ?? 0].map(ResidentMemory.unsharedBytes)
      row.memoryBytes = max(row.memoryBytes, parts[0] + parts[1])
      row.trainerBytes = max(row.trainerBytes, parts[0])
      row.daemonBytes = max(row.daemonBytes, parts[1])
      // The daemon's counters change with its commits: once a second is often enough.
      if samples % 10 == 0 { row.diskBytes = max(row.diskBytes, try observer.stats().liveBytes) }
      samples += 1
      usleep(100_000)
    }
    trainer.waitUntilExit()
    guard trainer.terminationStatus == 0 else { throw ToolError("lagoon-train ended with an error") }
    let metrics = try String(contentsOfFile: folder + "/run/metrics.jsonl", encoding: .utf8)
    for line in metrics.split(separator: "\n") {
      let step = try JSONDecoder().decode(StepLine.self, from: Data(line.utf8))
      guard step.kind == "step" else { continue }
      (row.seconds, row.loss) = (step.seconds, step.loss)
      row.tokensPerSecond = Double(row.tokens) / step.seconds
    }
    let settings = try JSONDecoder().decode(
      RunSettings.self, from: Data(contentsOf: URL(fileURLWithPath: folder + "/run/run.json")))
    var limit = try ExactStepFloor(model: model, run: settings, tokens: row.tokens)
    for _ in 0..<5 { try limit.measure() }
    row.floorSeconds = limit.seconds
    return row
  }

  private struct StepLine: Decodable {
    var kind: String
    var seconds: Double = 0
    var loss: Double = 0
  }
}

import ArgumentParser
import Foundation
import LagoonClient
import ToolSupport

struct CodecBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "codec",
    abstract: "Ways to compress kept rows, on those of a session: ratio and rates.",
    discussion: """
      Takes the session's kept rows in frames of one partition, all heads, as the store compresses them, and tries zstd levels
      with and without byte planes and a trained dictionary. Rates are of one thread; the ceiling is a copy of the same bytes.

      EXAMPLES
        lagoon-lm ingest data/kjv-tiny --text kjv.txt --session book --store caches --dtype bf16
        lagoon-bench codec --store caches --session book
      """)

  @Option(help: "Store folder; no daemon may run on it.", completion: .directory)
  var store: String

  @Option(help: "The session.")
  var session: String

  @Option(help: "Rows of each head in a frame. Default: as many as the session keeps of a partition.")
  var rows: Int?

  @Option(help: "zstd levels.")
  var level: [Int32] = [1, 3, 6, 12, 19]

  @Option(help: "Most megabytes of rows that are tried.")
  var megabytes = 16

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard level.allSatisfy({ (-7...22).contains($0) }), (1...1024).contains(megabytes), rows ?? 1 > 0 else {
      throw ValidationError("--level in -7...22, --megabytes in 1...1024 and --rows above 0")
    }
  }

  func run() throws {
    var options = PrivateDaemon.Options()
    options.store = store
    let daemon = try PrivateDaemon(options)
    defer { daemon.stop() }
    let connection = try LagoonConnection(socketPath: daemon.socketPath)
    let open = try connection.openSession(session)
    let elementBytes = open.parameters.elementType.byteCount
    let frames = try self.frames(open)
    guard frames.count >= 64 else {
      throw ToolError("\(session) keeps \(frames.count) frames; 64 are needed")
    }
    let copy = Self.copyRate(frames)
    let type = open.parameters.elementType
    var trials = level.flatMap { level in
      [false, true].map { Work(type.name, CodecTrial(level: level, planes: $0, dictionaryBytes: 0), frames) }
    }
    trials += [16, 112].map {
      Work(type.name, CodecTrial(level: 3, planes: true, dictionaryBytes: $0 << 10), frames)
    }
    if type == .bfloat16 {
      // What a model that computes in bf16 leaves in a session of f32.
      let wide = frames.map(Self.widened)
      trials += [false, true].map {
        Work(
          "f32 that is bf16's", CodecTrial(level: 3, planes: $0, dictionaryBytes: 0), wide, elementBytes: 4)
      }
    }
    let progress = ProgressLine(total: trials.count, unit: "trials")
    let figures = try trials.enumerated().map { index, work in
      let result = try work.trial.run(work.frames, elementBytes: work.elementBytes ?? elementBytes)
      progress.update(index + 1)
      return Figure(
        name: "\(work.rows), \(work.trial.name)", figure: result.decompressRate / 1e9,
        ceiling: copy / 1e9,
        unit: "GB/s decompressed", ceilingIs: "a copy",
        details: ["ratio": result.ratio, "compress_megabytes_per_second": result.compressRate / 1e6])
    }
    progress.finish()
    try report(figures, json: output.json)
  }

  private struct Work {
    var rows: String
    var trial: CodecTrial
    var frames: [[UInt8]]
    /// nil: the session's.
    var elementBytes: Int?

    init(_ rows: String, _ trial: CodecTrial, _ frames: [[UInt8]], elementBytes: Int? = nil) {
      self.rows = rows
      self.trial = trial
      self.frames = frames
      self.elementBytes = elementBytes
    }
  }

  /// bf16 as f32: two bytes of zeros before each two.
  private static func widened(_ frame: [UInt8]) -> [UInt8] {
    var wide = [UInt8](repeating: 0, count: 2 * frame.count)
    for i in frame.indices { wide[i / 2 * 4 + 2 + i % 2] = frame[i] }
    return wide
  }

  /// Kept rows behind the sinks, `[K|V][head][row][channel]`, of all layers in turns.
  private func frames(_ session: RemoteSession) throws -> [[UInt8]] {
    let parameters = session.parameters
    let count = rows ?? max(1, Int(parameters.ratio * Double(parameters.lag)))
    let rowBytes = parameters.headDim * parameters.elementType.byteCount
    let most = max(64, (megabytes << 20) / (2 * count * parameters.kvHeads * rowBytes))
    var frames: [[UInt8]] = []
    for layer in 0..<parameters.layers {
      let fetched = try session.fetch(layer: layer)
      let kept = fetched.totalRows - fetched.windowRows
      var first = parameters.sinks
      while first + count <= kept, frames.count < most * (layer + 1) / parameters.layers {
        var frame: [UInt8] = []
        for plane in [fetched.keys, fetched.values] {
          for head in 0..<parameters.kvHeads {
            let start = (head * fetched.totalRows + first) * rowBytes
            frame += plane[start..<start + count * rowBytes]
          }
        }
        frames.append(frame)
        first += count
      }
    }
    return frames
  }

  /// Bytes per second that one thread copies frame by frame.
  private static func copyRate(_ frames: [[UInt8]]) -> Double {
    var target = [UInt8](repeating: 0, count: frames.first?.count ?? 0)
    let times = (0..<9).map { _ in
      seconds {
        for frame in frames {
          target.withUnsafeMutableBytes { target in frame.withUnsafeBytes { target.copyMemory(from: $0) } }
        }
      }
    }
    return Double(frames.reduce(0) { $0 + $1.count }) / times.median
  }
}

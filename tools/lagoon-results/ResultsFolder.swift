import ClaimExperiment
import DurableFiles
import Foundation
import ToolSupport

/// The folder of an experiment:
///
///     design.json    what it was begun with; another design is refused
///     text.txt
///     data/          documents
///     runs/          trainings, as lagoon-train leaves them, without checkpoints when they have ended
///     stages/        a file for each finished stage: its command, seconds, and what it printed
///     logs/          what the programs say
struct ResultsFolder {
  let path: String

  /// Makes the folder if it is not there.
  init(_ path: String) throws {
    self.path = URL(filePath: path).standardizedFileURL.path
    for part in ["data", "runs", "stages", "logs"] {
      do {
        try FileManager.default.createDirectory(
          atPath: "\(self.path)/\(part)", withIntermediateDirectories: true)
      } catch {
        throw ToolError("the folder \(self.path)/\(part) cannot be made: \(error.localizedDescription)")
      }
    }
  }

  /// Keeps others out until the descriptor is closed.
  func take() throws -> Int32 {
    let lock = open(path + "/.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard lock >= 0 else { throw ToolError("\(path) cannot be written: \(String(cString: strerror(errno)))") }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw ToolError("another lagoon-results is at work in \(path)")
    }
    return lock
  }

  // MARK: Design and text

  private var designPath: String { path + "/design.json" }

  /// Writes the design of an experiment that begins, or compares it with that of the one that is here.
  func settle(_ design: ExperimentDesign) throws {
    guard FileManager.default.fileExists(atPath: designPath) else {
      return try AtomicFile.write(Data(Output.jsonText(design).utf8), to: designPath)
    }
    guard try self.design() == design else {
      throw ToolError(
        "\(path) holds an experiment of another design, see its design.json: go on with the same options, or choose another "
          + "--folder")
    }
  }

  func design() throws -> ExperimentDesign {
    guard let data = FileManager.default.contents(atPath: designPath) else {
      throw ToolError("\(path) holds no experiment; `lagoon-results run --folder \(path)` begins one")
    }
    do {
      return try JSONDecoder().decode(ExperimentDesign.self, from: data)
    } catch {
      throw ToolError("\(designPath) cannot be read: \(error)")
    }
  }

  /// Brings the text into the folder if it is not there.
  ///
  /// - Parameter given: a file; nil: the King James Bible.
  func prepare(text given: String?) throws {
    let own = path + "/" + StagePlan.text
    guard !FileManager.default.fileExists(atPath: own) else { return }
    guard let given else { return try AtomicFile.write(Data(try KingJamesBible.text()), to: own) }
    try AtomicFile.write(Data(try Input.text(given)), to: own)
  }

  // MARK: Stages

  private func stagePath(_ name: String) -> String { "\(path)/stages/\(name).json" }

  private struct Record<Result: Decodable>: Decodable {
    var arguments: [String]
    var seconds: Double
    var output: Result
  }

  private struct Nothing: Decodable {}

  /// Seconds of a finished stage; nil: it has not finished.
  ///
  /// - Throws: when what has finished was another command.
  func seconds(of stage: Stage) throws -> Double? {
    guard let record = try record(stage.name, Nothing.self) else { return nil }
    guard record.arguments == stage.arguments else {
      throw ToolError(
        "\(stagePath(stage.name)) was made by another command than the experiment now has: choose another --folder, or delete "
          + "the file to have it made again")
    }
    return record.seconds
  }

  private func record<Result>(_ name: String, _ type: Result.Type) throws -> Record<Result>? {
    guard let data = FileManager.default.contents(atPath: stagePath(name)) else { return nil }
    do {
      return try JSONDecoder().decode(Record<Result>.self, from: data)
    } catch {
      throw ToolError("\(stagePath(name)) cannot be read: \(error); delete it to have it made again")
    }
  }

  /// Keeps what a stage printed. It is there whole, or not at all.
  func finish(_ stage: Stage, seconds: Double, output: Data) throws {
    let printed: Any
    do {
      printed = try JSONSerialization.jsonObject(with: output)
    } catch {
      throw ToolError("\(stage.name): what lagoon-train printed is no JSON: \(error)")
    }
    let record: [String: Any] = ["arguments": stage.arguments, "seconds": seconds, "output": printed]
    let data = try JSONSerialization.data(
      withJSONObject: record, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
    try AtomicFile.write(data, to: stagePath(stage.name))
    // The result is there; nobody goes on from a checkpoint.
    if let run = stage.run {
      for part in ["checkpoints", "data"] {
        try? FileManager.default.removeItem(atPath: "\(path)/\(run)/\(part)")
      }
    }
  }

  /// All that has been measured so far.
  func measurements() throws -> Measurements {
    var outputs: [String: EvalOutput] = [:]
    for file in try FileManager.default.contentsOfDirectory(atPath: path + "/stages").sorted()
    where file.hasPrefix("eval-") && file.hasSuffix(".json") {
      let name = String(file.dropLast(5))
      outputs[name] = try record(name, EvalOutput.self)?.output
    }
    return Measurements(try design(), outputs)
  }

  /// Seconds of all finished stages, one after the other.
  func seconds() throws -> Double {
    try FileManager.default.contentsOfDirectory(atPath: path + "/stages").filter { $0.hasSuffix(".json") }
      .reduce(0) { sum, file in sum + (try record(String(file.dropLast(5)), Nothing.self)?.seconds ?? 0) }
  }
}

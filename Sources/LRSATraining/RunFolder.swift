import DurableFiles
import Foundation

/// The folder of a run, held by one process at a time:
///
///     run.json          settings
///     metrics.jsonl     a line for each step and evaluation, with TensorBoard's events beside it
///     data/             the tokens, in the order of the sources
///     checkpoints/      where the run goes on
///     best/             the parameters with the lowest held-out loss
///     model/            the result
public final class RunFolder {
  public let path: String
  private var lock: Int32 = -1

  /// Makes the folder if it is not there, and takes it.
  ///
  /// - Throws: when another process has it, or a model is there that no run made.
  public init(_ path: String) throws {
    self.path = path
    if let foreign = [result, best].first(where: FileManager.default.fileExists), !isUsed {
      throw TrainingError("\(foreign) is there, but no run that made it: choose another folder")
    }
    do {
      try FileManager.default.createDirectory(
        atPath: path + "/checkpoints", withIntermediateDirectories: true)
    } catch {
      throw TrainingError("the folder \(path) cannot be made: \(error.localizedDescription)")
    }
    lock = open(path + "/.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard lock >= 0 else {
      throw TrainingError("\(path) cannot be written: \(String(cString: strerror(errno)))")
    }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      close(lock)
      throw TrainingError("another process is training in \(path)")
    }
  }

  deinit { if lock >= 0 { close(lock) } }

  public var data: String { path + "/data" }
  public var checkpoints: String { path + "/checkpoints" }
  public var best: String { path + "/best" }
  public var result: String { path + "/model" }
  var settingsPath: String { path + "/run.json" }
  var probePath: String { path + "/probe.json" }

  /// Whether a run has begun here.
  public var isUsed: Bool { FileManager.default.fileExists(atPath: settingsPath) }

  /// Writes the settings of a run that begins, or compares them with those that it began with.
  ///
  /// - Parameter resuming: whether the run is to go on.
  public func settle(_ settings: RunSettings, resuming: Bool) throws {
    guard isUsed else {
      if resuming { throw TrainingError("there is no run in \(path) to resume: leave out --resume") }
      return try AtomicFile.write(settings.json(), to: settingsPath)
    }
    guard resuming else {
      throw TrainingError("\(path) holds a run: add --resume to go on with it, or choose another folder")
    }
    let begun: RunSettings
    do {
      begun = try JSONDecoder().decode(
        RunSettings.self, from: Data(contentsOf: URL(fileURLWithPath: settingsPath)))
    } catch {
      throw TrainingError("\(settingsPath) cannot be read: \(error)")
    }
    let differences = try settings.differences(from: begun)
    guard differences.isEmpty else {
      throw TrainingError(
        "the run in \(path) was begun with another \(differences.joined(separator: ", ")): "
          + "resume it as \(settingsPath) says, or choose another folder")
    }
  }
}

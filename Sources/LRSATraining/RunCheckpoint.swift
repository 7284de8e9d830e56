import DurableFiles
import Foundation
import Safetensors
import Transformer

/// A run's checkpoints: `checkpoints/step-00000120-000003/`, each a folder that appears whole or not at all, with `state.json`,
/// the parameters in the layout in which the run saves them at its end, `optimizer.safetensors` (the moments) and, within a
/// step, `gradients.safetensors`.
package struct RunCheckpoints {
  private let folder: String
  /// How many are kept.
  private let kept: Int

  package init(folder: String, kept: Int = 2) {
    self.folder = folder
    self.kept = kept
  }

  /// Finished checkpoints, oldest first.
  package func list() -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasPrefix("step-") }.sorted()
  }

  /// Writes a checkpoint and removes the oldest ones.
  ///
  /// - Parameter gradients: of the step under way; nil between steps.
  package func write(
    _ state: RunState, _ model: any TrainedParameters, _ optimizer: AdamW, gradients: ParameterBuffer?
  ) throws {
    let files = FileManager.default
    // A step has one before and one after the held-out documents were read, in this order.
    let isEvaluated = state.evaluatedStep == state.step && state.documentsOfStep == 0
    let name =
      String(format: "step-%08d-%06d", state.step, state.documentsOfStep) + (isEvaluated ? "-evaluated" : "")
    guard !list().contains(name) else { return }
    let partial = folder + "/.partial"
    try? files.removeItem(atPath: partial)
    try files.createDirectory(atPath: partial, withIntermediateDirectories: true)
    try model.save(to: partial + "/" + Self.parameters)
    var writer = SafetensorsWriter()
    try optimizer.first.add(to: &writer, prefix: "first.")
    try optimizer.second.add(to: &writer, prefix: "second.")
    try writer.write(to: partial + "/" + Self.moments)
    if let gradients {
      var writer = SafetensorsWriter()
      try gradients.add(to: &writer, prefix: "")
      try writer.write(to: partial + "/" + Self.gradients)
    }
    try AtomicFile.write(try JSONEncoder().encode(state), to: partial + "/" + Self.state)
    try Self.place(partial, at: folder + "/" + name)
    for old in list().dropLast(kept) { try? files.removeItem(atPath: folder + "/" + old) }
  }

  /// Puts a finished folder into its place, where none is.
  private static func place(_ finished: String, at path: String) throws {
    guard rename(finished, path) == 0 else {
      throw TrainingError("cannot rename \(finished) to \(path): \(String(cString: strerror(errno)))")
    }
    try AtomicFile.syncFolder(of: path)
  }

  /// Takes the newest checkpoint over.
  ///
  /// - Parameter gradients: filled when the checkpoint is within a step.
  /// - Returns: nil when there is none.
  /// - Throws: `TrainingError` naming the file that cannot be used, and what to do. What was to be filled may then be in part.
  package func restore(
    _ model: any TrainedParameters, _ optimizer: inout AdamW, gradients: ParameterBuffer
  ) throws -> RunState? {
    let all = list()
    guard let name = all.last else { return nil }
    do {
      return try restore(folder + "/" + name, model, &optimizer, gradients)
    } catch {
      let rest = all.dropLast().last.map { "go on from \(folder)/\($0)" } ?? "begin again: it is the only one"
      throw TrainingError(
        "the newest checkpoint cannot be used: \(error). Remove the folder \(folder)/\(name) to \(rest)")
    }
  }

  private func restore(
    _ path: String, _ model: any TrainedParameters, _ optimizer: inout AdamW, _ gradients: ParameterBuffer
  ) throws -> RunState {
    let state = try state(path + "/" + Self.state)
    try naming(path + "/" + Self.parameters) { try model.restore(from: path + "/" + Self.parameters) }
    let moments = path + "/" + Self.moments
    try naming(moments) {
      let file = try SafetensorsFile(path: moments)
      try optimizer.first.fill(from: file, prefix: "first.")
      try optimizer.second.fill(from: file, prefix: "second.")
    }
    optimizer.steps = state.optimizerSteps
    if state.documentsOfStep > 0 {
      let sums = path + "/" + Self.gradients
      try naming(sums) { try gradients.fill(from: SafetensorsFile(path: sums)) }
    }
    return state
  }

  private func state(_ path: String) throws -> RunState {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw TrainingError("\(path) is missing or cannot be read")
    }
    let state = try naming(path) { try JSONDecoder().decode(RunState.self, from: data) }
    guard state.version == RunState.version else {
      throw TrainingError("\(path) is of version \(state.version); this program reads \(RunState.version)")
    }
    let counts = [state.step, state.documentsOfStep, state.tokens, state.documents, state.optimizerSteps]
    guard counts.allSatisfy({ $0 >= 0 }), state.optimizerSteps <= state.step else {
      throw TrainingError("\(path) counts steps, documents or tokens that cannot be")
    }
    return state
  }

  /// Sees to it that an error names the file.
  private func naming<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch {
      let what = "\(error)"
      throw TrainingError(what.contains(path) ? what : "\(path): \(what)")
    }
  }

  private static let parameters = "parameters"
  private static let moments = "optimizer.safetensors"
  private static let gradients = "gradients.safetensors"
  private static let state = "state.json"
}

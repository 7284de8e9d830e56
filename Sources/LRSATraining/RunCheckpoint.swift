import Foundation
import Safetensors
import Transformer

/// A run's checkpoints: `checkpoints/step-00000120-000003/`, each a folder that appears whole or not at all, with `state.json`,
/// the parameters in the layout in which the run saves them at its end, `optimizer.safetensors` (the moments) and, within a
/// step, `gradients.safetensors`.
struct RunCheckpoints {
  private let folder: String
  /// How many are kept.
  private let kept: Int

  init(folder: String, kept: Int = 2) {
    self.folder = folder
    self.kept = kept
  }

  /// Finished checkpoints, oldest first.
  func list() -> [String] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { $0.hasPrefix("step-") }.sorted()
  }

  /// Writes a checkpoint and removes the oldest ones.
  ///
  /// - Parameter gradients: of the step under way; nil between steps.
  func write(
    _ state: RunState, _ model: any TrainedParameters, _ optimizer: AdamW, gradients: ParameterBuffer?
  ) throws {
    let files = FileManager.default
    let name = String(format: "step-%08d-%06d", state.step, state.documentsOfStep)
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
    try DurableFile.write(try JSONEncoder().encode(state), to: partial + "/" + Self.state)
    try DurableFile.rename(partial, to: folder + "/" + name)
    for old in list().dropLast(kept) { try? files.removeItem(atPath: folder + "/" + old) }
  }

  /// Takes the newest checkpoint over.
  ///
  /// - Parameter gradients: filled when the checkpoint is within a step.
  /// - Returns: nil when there is none.
  func restore(
    _ model: any TrainedParameters, _ optimizer: inout AdamW, gradients: ParameterBuffer
  ) throws -> RunState? {
    guard let name = list().last else { return nil }
    let path = folder + "/" + name
    let data = try Data(contentsOf: URL(fileURLWithPath: path + "/" + Self.state))
    let state: RunState
    do {
      state = try JSONDecoder().decode(RunState.self, from: data)
    } catch {
      throw TrainingError("\(path)/\(Self.state) cannot be read: \(error)")
    }
    guard state.version == RunState.version else {
      throw TrainingError("\(path) is of version \(state.version); this program reads \(RunState.version)")
    }
    try model.restore(from: path + "/" + Self.parameters)
    let moments = try SafetensorsFile(path: path + "/" + Self.moments)
    try optimizer.first.fill(from: moments, prefix: "first.")
    try optimizer.second.fill(from: moments, prefix: "second.")
    optimizer.steps = state.optimizerSteps
    if state.documentsOfStep > 0 {
      try gradients.fill(from: SafetensorsFile(path: path + "/" + Self.gradients))
    }
    return state
  }

  private static let parameters = "parameters"
  private static let moments = "optimizer.safetensors"
  private static let gradients = "gradients.safetensors"
  private static let state = "state.json"
}

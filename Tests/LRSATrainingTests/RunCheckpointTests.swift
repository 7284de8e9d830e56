import Foundation
import LRSATraining
import Safetensors
import Testing
import TrainingData
import Transformer

/// Checkpoints come back bit for bit, and damaged ones are refused by the file's name.
@Suite struct RunCheckpointTests {
  /// A run of a very small model, with two checkpoints: behind its first step, and within its second.
  private final class Run {
    let folder: String
    let decoder: TrainableDecoder
    let model: FullParameters
    var optimizer: AdamW
    let checkpoints: RunCheckpoints
    private(set) var states: [RunState] = []

    /// - Parameter writing: otherwise as another process that is to go on finds it.
    init(_ folder: String, writing: Bool) throws {
      self.folder = folder
      let json = """
        {"model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5, "num_hidden_layers": 1,
        "vocab_size": 11, "hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2,
        "num_key_value_heads": 1, "rope_theta": 10000.0}
        """
      try FileManager.default.createDirectory(atPath: folder + "/base", withIntermediateDirectories: true)
      try Data(json.utf8).write(to: URL(fileURLWithPath: folder + "/base/config.json"))
      decoder = try TrainableDecoder(folder: folder + "/base", weights: .random(seed: writing ? 1 : 2))
      model = FullParameters(decoder)
      optimizer = AdamW(layout: model.parameters.layout)
      checkpoints = RunCheckpoints(folder: folder + "/checkpoints")
      if writing { try write() }
    }

    private func write() throws {
      var random = SplitMix64(seed: 3)
      var state = RunState(
        order: DataOrder(seed: 5, sources: [(weight: 1, firstPieces: 9, laterPieces: 9)]),
        spikes: SpikeFilter(factor: 3))
      for (step, documents) in [(1, 0), (1, 2)] {
        decoder.gradients.withElements { elements in
          for index in elements.indices { elements[index] = Float(random.next() >> 40) * 0x1p-24 - 0.5 }
        }
        if documents == 0 {
          optimizer.update(model.parameters, model.gradients, learningRate: 0.01, gradientScale: 1) { _ in
            true
          }
        }
        _ = state.order.next()
        state.step = step
        state.documentsOfStep = documents
        state.lossOfStep = documents > 0 ? 1.0 / 3 : 0
        state.tokens = 1000
        state.documents = 4
        state.optimizerSteps = optimizer.steps
        try checkpoints.write(
          state, model, optimizer, gradients: documents > 0 ? decoder.gradients : nil)
        states.append(state)
      }
    }

    func restore() throws -> RunState? {
      try checkpoints.restore(model, &optimizer, gradients: decoder.gradients)
    }

    /// Weights, both moments and gradients.
    var bits: [[UInt32]] {
      [decoder.weights, optimizer.first, optimizer.second, decoder.gradients].map {
        $0.withElements { $0.map(\.bitPattern) }
      }
    }
  }

  private static let first = "step-00000001-000000"
  private static let newest = "step-00000001-000002"

  /// - Parameter body: gets the run that wrote, and one that is to go on from there.
  private func withRun(_ body: (_ written: Run, _ other: Run) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-checkpoint-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let written = try Run(folder, writing: true)
    try #require(written.checkpoints.list() == [Self.first, Self.newest])
    try body(written, try Run(folder, writing: false))
  }

  private func path(_ run: Run, _ file: String) -> String {
    "\(run.folder)/checkpoints/\(Self.newest)/\(file)"
  }

  @Test func allOfItComesBack() throws {
    try withRun { written, other in
      #expect(other.bits != written.bits)
      #expect(try other.restore() == written.states[1])
      #expect(other.bits == written.bits)
      #expect(other.optimizer.steps == 1)
      let before = other.bits
      try FileManager.default.removeItem(atPath: "\(written.folder)/checkpoints/\(Self.newest)")
      #expect(try other.restore() == written.states[0])
      // Between steps there are no gradients to come back.
      #expect(other.bits == before)
      try FileManager.default.removeItem(atPath: "\(written.folder)/checkpoints/\(Self.first)")
      #expect(try other.restore() == nil)
    }
  }

  private static let weights = "parameters/model.safetensors"
  private static let files = ["state.json", weights, "optimizer.safetensors", "gradients.safetensors"]

  /// The message names the file, the folder to remove and where that leads; and it does lead there.
  private func expectRefusal(_ written: Run, _ other: Run, _ file: String, _ words: String = "") throws {
    let error = #expect(throws: TrainingError.self) { _ = try other.restore() }
    let message = error?.message ?? ""
    #expect(message.contains(file), "\(message)")
    #expect(words.isEmpty || message.contains(words), "\(message)")
    #expect(message.contains("Remove the folder \(written.folder)/checkpoints/\(Self.newest) "), "\(message)")
    #expect(message.contains("checkpoints/\(Self.first)"), "\(message)")
    try FileManager.default.removeItem(atPath: "\(written.folder)/checkpoints/\(Self.newest)")
    #expect(try other.restore() == written.states[0])
  }

  @Test(arguments: files) func aMissingFileIsNamed(_ file: String) throws {
    try withRun { written, other in
      try FileManager.default.removeItem(atPath: path(written, file))
      try expectRefusal(written, other, file)
    }
  }

  @Test(arguments: files) func anEmptyFileIsNamed(_ file: String) throws {
    try withRun { written, other in
      try Data().write(to: URL(fileURLWithPath: path(written, file)))
      try expectRefusal(written, other, file)
    }
  }

  /// Tensors that lack, of other shapes, of other types.
  @Test(arguments: files.dropFirst()) func otherTensorsAreNamed(_ file: String) throws {
    for (count, extra) in [(1, ""), (0, "x")] {
      try withRun { written, other in
        let prefixes = file == "optimizer.safetensors" ? ["first.", "second."] : [""]
        var writer = SafetensorsWriter()
        for prefix in prefixes {
          for tensor in written.decoder.weights.layout.tensors {
            let isLast = tensor.name == written.decoder.weights.layout.tensors.last?.name
            let rows = tensor.range.count + (isLast ? count : 0)
            try writer.add(
              prefix + tensor.name + (isLast ? extra : ""), shape: [rows],
              [Float](repeating: 0, count: rows))
          }
        }
        try writer.write(to: path(written, file))
        try expectRefusal(written, other, file, "tensor \"")
      }
    }
  }

  @Test func theOnlyOneSaysToBeginAgain() throws {
    try withRun { written, other in
      try FileManager.default.removeItem(atPath: "\(written.folder)/checkpoints/\(Self.first)")
      try Data("{}".utf8).write(to: URL(fileURLWithPath: path(written, "state.json")))
      let error = #expect(throws: TrainingError.self) { _ = try other.restore() }
      #expect(error?.message.contains("state.json") == true && error?.message.contains("only one") == true)
    }
  }

  @Test(arguments: ["\"version\":1", "\"step\":1", "\"optimizerSteps\":1", "\"tokens\":1000"])
  func statesThatCannotBeAreRefused(_ field: String) throws {
    try withRun { written, other in
      let url = URL(fileURLWithPath: path(written, "state.json"))
      let text = String(decoding: try Data(contentsOf: url), as: UTF8.self)
      try #require(text.contains(field))
      let name = field.prefix { $0 != ":" }
      try Data(text.replacingOccurrences(of: field, with: name + ":-7").utf8).write(to: url)
      try expectRefusal(written, other, "state.json")
    }
  }

  /// Cut anywhere, a file is refused.
  @Test(arguments: files) func cutFilesAreRefused(_ file: String) throws {
    try withRun { written, other in
      let url = URL(fileURLWithPath: path(written, file))
      let whole = try Data(contentsOf: url)
      for length in stride(from: 0, to: whole.count, by: max(1, whole.count / 64)) {
        try whole.prefix(length).write(to: url)
        #expect(throws: TrainingError.self, "\(file), \(length) bytes") { _ = try other.restore() }
      }
      try whole.prefix(whole.count - 1).write(to: url)
      try expectRefusal(written, other, file)
    }
  }

  /// Bytes changed anywhere: refused or, where they still mean something, taken; nothing worse.
  @Test(arguments: files) func changedBytesDoNoHarm(_ file: String) throws {
    try withRun { written, other in
      let url = URL(fileURLWithPath: path(written, file))
      let whole = try Data(contentsOf: url)
      var random = SplitMix64(seed: 17)
      var refused = 0
      for _ in 0..<400 {
        var changed = whole
        // Most of a safetensors file's meaning is in its first bytes.
        let reach = random.next() % 4 > 0 ? min(whole.count, 600) : whole.count
        for _ in 0...random.next() % 3 {
          changed[Int(random.next() % UInt64(reach))] = UInt8(truncatingIfNeeded: random.next())
        }
        try changed.write(to: url)
        do {
          _ = try other.restore()
        } catch let error as TrainingError {
          refused += 1
          #expect(error.message.contains(Self.newest))
        }
      }
      #expect(refused > 100)
    }
  }
}

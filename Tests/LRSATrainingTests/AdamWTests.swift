import Foundation
import LRSATraining
import Testing
import Transformer

@Suite struct AdamWTests {
  /// A few steps of torch.optim.AdamW in f64 (tools/compare/adamw.py).
  private struct Golden: Decodable {
    struct Tensor: Decodable {
      let name: String
      let count: Int
      let decays: Bool
    }
    struct Step: Decodable {
      let learningRate: Double
      let gradientScale: Double
      let gradients: [Float]
      let weights: [Double]
    }
    let settings: AdamW.Settings
    let tensors: [Tensor]
    let start: [Float]
    let steps: [Step]

    static func read() throws -> Golden {
      let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Fixtures/training/adamw.json")
      return try JSONDecoder().decode(Golden.self, from: Data(contentsOf: path))
    }

    var layout: ParameterLayout { ParameterLayout(tensors.map { ($0.name, [$0.count]) }) }
    var decaying: Set<String> { Set(tensors.filter(\.decays).map(\.name)) }
  }

  private func buffer(_ layout: ParameterLayout, _ values: [Float]) -> ParameterBuffer {
    let buffer = ParameterBuffer(layout)
    buffer.withElements { _ = $0.update(fromContentsOf: values) }
    return buffer
  }

  private func elements(_ buffer: ParameterBuffer) -> [Float] { buffer.withElements { Array($0) } }

  @Test func stepsAreTorchs() throws {
    let golden = try Golden.read()
    #expect(golden.settings == AdamW.Settings())
    let weights = buffer(golden.layout, golden.start)
    var optimiser = AdamW(layout: golden.layout, settings: golden.settings)
    let decaying = golden.decaying
    var before = golden.start.map(Double.init)
    // Of each step two roundings of the weight and a few of its change; they add up.
    var allowed = [Double](repeating: 0, count: before.count)
    for step in golden.steps {
      optimiser.update(
        weights, buffer(golden.layout, step.gradients), learningRate: step.learningRate,
        gradientScale: step.gradientScale
      ) { decaying.contains($0.name) }
      for (index, (given, expected)) in zip(elements(weights), step.weights).enumerated() {
        allowed[index] += 0x1p-23 * abs(expected) + 1e-6 * abs(expected - before[index])
        #expect(abs(Double(given) - expected) <= allowed[index], "step \(optimiser.steps), element \(index)")
      }
      before = step.weights
    }
    #expect(optimiser.steps == golden.steps.count)
  }

  /// Going on from saved moments gives the bits of going on without a break.
  @Test func momentsAndStepsAreTheWholeState() throws {
    let golden = try Golden.read()
    func run(_ optimiser: inout AdamW, _ weights: ParameterBuffer, _ steps: ArraySlice<Golden.Step>) {
      for step in steps {
        optimiser.update(
          weights, buffer(golden.layout, step.gradients), learningRate: step.learningRate,
          gradientScale: step.gradientScale
        ) { _ in true }
      }
    }
    let whole = buffer(golden.layout, golden.start)
    var optimiser = AdamW(layout: golden.layout)
    run(&optimiser, whole, golden.steps[...])

    let cut = buffer(golden.layout, golden.start)
    var before = AdamW(layout: golden.layout)
    run(&before, cut, golden.steps[..<3])
    var after = AdamW(layout: golden.layout)
    after.steps = before.steps
    for (saved, loaded) in [(before.first, after.first), (before.second, after.second)] {
      let values = elements(saved)
      loaded.withElements { _ = $0.update(fromContentsOf: values) }
    }
    run(&after, cut, golden.steps[3...])
    #expect(elements(cut) == elements(whole))
  }

  /// A parameter whose gradient is zero only decays; one that does not decay stays.
  @Test func decayIsDecoupled() {
    let layout = ParameterLayout([("decays", [3]), ("stays", [3])])
    let weights = buffer(layout, [1, -2, 4, 1, -2, 4])
    var optimiser = AdamW(layout: layout, settings: AdamW.Settings(weightDecay: 0.5))
    optimiser.update(weights, ParameterBuffer(layout), learningRate: 0.5, gradientScale: 1) {
      $0.name == "decays"
    }
    #expect(elements(weights) == [0.75, -1.5, 3, 1, -2, 4])
  }

  /// The norm in f64, beyond one block, and its bits again.
  @Test(arguments: [0, 1, 15, 16, 17, 65_536, 200_003]) func normIsTheEuclidean(_ count: Int) {
    let values = (0..<count).map { Float(sin(Double($0)) * pow(10, Double($0 % 7) - 3)) }
    let buffer = buffer(ParameterLayout([("all", [count])]), values)
    let expected = values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    #expect(abs(buffer.norm() - expected) <= 1e-13 * expected)
    #expect(buffer.norm() == buffer.norm())
  }
}

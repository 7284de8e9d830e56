import Foundation
import Safetensors
import Testing
import Transformer

/// An adapter's arithmetic: what it makes of the weights, and its gradients against finite differences.
@Suite struct LowRankAdapterTests {
  private static let everything = LowRankConfiguration(
    rank: 3, alpha: 5, trainsNorms: true, trainsEmbeddings: true)
  private static let document = RandomDecoder.document

  @Test func aFreshAdapterChangesNothing() throws {
    let decoder = try RandomDecoder.variants[2].load()
    let before = decoder.copyOfWeights
    let adapter = try LowRankAdapter(decoder, Self.everything, seed: 7)
    #expect(decoder.copyOfWeights == before)
    try adapter.apply()
    #expect(decoder.copyOfWeights == before)
  }

  /// `A` as PEFT begins it, uniform in ±1/√inputs, by the seed alone; `B` zero.
  @Test func theBeginningIsPEFTs() throws {
    let decoder = try RandomDecoder.variants[0].load()
    let configuration = LowRankConfiguration(rank: 12, alpha: 1)
    let adapter = try LowRankAdapter(decoder, configuration, seed: 7)
    var scaled: [Float] = []
    for tensor in adapter.parameters.layout.tensors {
      let values = try #require(adapter.parameters[tensor.name])
      if tensor.name.hasSuffix("lora_B.weight") {
        #expect(tensor.shape[1] == 12 && values.allSatisfy { $0 == 0 })
      } else {
        #expect(tensor.name.hasSuffix("lora_A.weight") && tensor.shape[0] == 12)
        scaled += values.map { $0 * Float(tensor.shape[1]).squareRoot() }
      }
    }
    let mean = scaled.reduce(0, +) / Float(scaled.count)
    let variance = scaled.reduce(0) { $0 + $1 * $1 } / Float(scaled.count)
    #expect(scaled.count > 3000)
    #expect(scaled.allSatisfy { abs($0) <= 1.00001 })
    #expect(abs(mean) < 0.05 && abs(variance - 1 / 3) < 0.03)

    let again = try LowRankAdapter(decoder, configuration, seed: 7)
    let other = try LowRankAdapter(decoder, configuration, seed: 8)
    #expect(again.copyOfParameters == adapter.copyOfParameters)
    #expect(other.copyOfParameters != adapter.copyOfParameters)
  }

  /// `W = W₀ + alpha/rank · B · A` of the chosen matrices and nothing else, however often it is applied.
  @Test(arguments: RandomDecoder.variants, [false, true]) func weightsAreWhatTheFormulaSays(
    _ variant: RandomDecoder, _ isRankStabilized: Bool
  ) throws {
    let decoder = try variant.load()
    let before = decoder.copyOfWeights
    let configuration = LowRankConfiguration(
      rank: 2, alpha: 3, targets: ["q_proj", "layers.1.mlp.down_proj"], isRankStabilized: isRankStabilized)
    let adapter = try LowRankAdapter(decoder, configuration, seed: 7)
    try adapter.fill(3)
    let after = decoder.copyOfWeights
    let expected = ReferenceAdapter(adapter).applied(to: before.mapValues { $0.map(Double.init) })
    for (name, values) in after {
      let isTarget = name.hasSuffix("q_proj.weight") || name.hasSuffix("layers.1.mlp.down_proj.weight")
      if isTarget {
        let reference = try #require(expected[name]).map(Float.init)
        #expect(relativeDistance(values, reference) < 1e-6)
        #expect(relativeDistance(values, before[name] ?? []) > 0.01)
      } else {
        #expect(values == before[name], "\(name)")
      }
    }
    try adapter.apply()
    #expect(decoder.copyOfWeights == after)
  }

  @Test(arguments: RandomDecoder.variants) func gradientsAgreeWithFiniteDifferences(
    _ variant: RandomDecoder
  ) throws {
    let decoder = try variant.load()
    let base = decoder.copyOfWeights.mapValues { $0.map(Double.init) }
    let adapter = try LowRankAdapter(decoder, Self.everything, seed: 7)
    try adapter.fill(3)
    // What was there is overwritten.
    adapter.gradients.withElements { $0.update(repeating: .nan) }
    let loss = try decoder.lossAndGradients(Self.document, chunk: 8).loss
    try adapter.collectGradients()

    var reference = ReferenceDecoder(decoder)
    let point = ReferenceAdapter(adapter)
    func referenceLoss(_ adapter: ReferenceAdapter) -> Double {
      reference.weights = adapter.applied(to: base)
      return reference.loss(Self.document.tokens, targets: Self.document.targets)
    }
    #expect(abs(loss - referenceLoss(point)) < 1e-5)

    var noise = Noise(17)
    let step = 1e-5
    for tensor in adapter.parameters.layout.tensors {
      let gradient = try #require(adapter.gradients[tensor.name])
      let norm = gradient.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      #expect(norm > 0, "\(tensor.name)")
      let direction = noise.floats(tensor.range.count).map(Double.init)
      func moved(_ by: Double) -> Double {
        var other = point
        other.parameters[tensor.name]? = zip(point.parameters[tensor.name] ?? [], direction).map {
          $0 + by * $1
        }
        return referenceLoss(other)
      }
      let expected = (moved(step) - moved(-step)) / (2 * step)
      let given = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * $1.1 }
      let error = abs(given - expected) / max(abs(expected), norm / 3.0.squareRoot())
      #expect(error <= 1e-4, "\(tensor.name)")
    }
  }

  /// Steps down the adapter's gradient make the loss smaller; what is frozen keeps its bits, though it has gradients.
  @Test func frozenParametersStayFrozen() throws {
    for variant in RandomDecoder.variants {
      let decoder = try variant.load()
      let before = decoder.copyOfWeights
      let adapter = try LowRankAdapter(
        decoder, LowRankConfiguration(rank: 4, alpha: 8, targets: ["v_proj", "up_proj"], trainsNorms: true),
        seed: 7)
      var losses: [Double] = []
      for _ in 0..<5 {
        losses.append(try decoder.lossAndGradients(Self.document, chunk: 8).loss)
        try adapter.collectGradients()
        adapter.parameters.withElements { parameters in
          adapter.gradients.withElements { gradients in
            for index in parameters.indices { parameters[index] -= 0.02 * gradients[index] }
          }
        }
        try adapter.apply()
      }
      #expect(losses == losses.sorted(by: >))
      for (name, values) in decoder.copyOfWeights {
        let isTrained =
          name.hasSuffix("v_proj.weight") || name.hasSuffix("up_proj.weight") || name.contains("norm.weight")
        #expect((values == before[name]) != isTrained, "\(name)")
        #expect(decoder.gradients[name]?.contains { $0 != 0 } == true)
      }
    }
  }

  /// The same gradients project to the same bits.
  @Test func projectionsRepeat() throws {
    let decoder = try RandomDecoder.variants[1].load()
    let adapter = try LowRankAdapter(decoder, Self.everything, seed: 7)
    try adapter.fill(3)
    _ = try decoder.lossAndGradients(Self.document, chunk: 8)
    try adapter.collectGradients()
    let first = adapter.copyOfGradients
    try adapter.collectGradients()
    #expect(adapter.copyOfGradients == first)
  }

  /// A tied matrix is one parameter of the adapter, whichever of its names asks for it.
  @Test func aTiedHeadIsOneParameter() throws {
    let decoder = try RandomDecoder.variants[2].load()
    for modules in [["lm_head"], ["embed_tokens"], ["embed_tokens", "lm_head"]] {
      let adapter = try LowRankAdapter(
        decoder, LowRankConfiguration(rank: 1, alpha: 1, targets: ["q_proj"], modulesToSave: modules), seed: 7
      )
      let whole = adapter.parameters.layout.tensors.map(\.name).filter { !$0.contains("lora_") }
      #expect(whole == ["base_model.model.model.embed_tokens.weight"])
    }
  }

  @Test func whatDoesNotFitTheModelIsRefused() throws {
    let decoder = try RandomDecoder.variants[0].load()
    func refusal(_ configuration: LowRankConfiguration) -> ModelError? {
      #expect(throws: ModelError.self, "\(configuration)") {
        try LowRankAdapter(decoder, configuration, seed: 0)
      }
    }
    #expect(refusal(.init(rank: 0, alpha: 1))?.name == "r")
    #expect(refusal(.init(rank: -1, alpha: 1))?.name == "r")
    let large = refusal(.init(rank: 13, alpha: 1))
    #expect(large?.name == "r")
    #expect(large?.message.contains("model.layers.0.self_attn.k_proj, a matrix of [12, 20]") == true)
    for alpha in [0, -1, .nan, .infinity] {
      #expect(refusal(.init(rank: 1, alpha: alpha))?.name == "lora_alpha")
    }
    for target in ["qkv_proj", "lm_head", "embed_tokens", "norm", "roj", "model.layers.7.mlp.up_proj", ""] {
      let error = refusal(.init(rank: 1, alpha: 1, targets: ["q_proj", target]))
      #expect(error?.name == "target_modules")
      #expect(error?.message.contains("\"\(target)\"") == true)
    }
    #expect(refusal(.init(rank: 1, alpha: 1, targets: []))?.name == "target_modules")
    for module in ["score", "mlp", "norms", ""] {
      let error = refusal(.init(rank: 1, alpha: 1, targets: ["q_proj"], modulesToSave: [module]))
      #expect(error?.name == "modules_to_save")
      #expect(error?.message.contains("\"\(module)\"") == true)
    }
    let both = refusal(.init(rank: 1, alpha: 1, targets: ["q_proj", "k_proj"], modulesToSave: ["k_proj"]))
    #expect(both?.name == "modules_to_save")
  }
}

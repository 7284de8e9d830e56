import LagKV
import Testing

@Suite struct ParameterTests {
  @Test func keptIsTheDoubleProductCutOff() throws {
    func kept(_ ratio: Double, _ lag: Int) throws -> Int {
      try RetentionParameters(policy: .lagkv, sinks: 0, lag: lag, ratio: ratio).keptPerPartition(layer: 0)
    }
    #expect(try kept(0.29, 100) == 28)  // 0.29 · 100 is 28.999999999999996
    #expect(try kept(0.25, 32) == 8)
    #expect(try kept(0, 64) == 0)
    #expect(try kept(1, 64) == 64)
    #expect(try kept(0.999, 64) == 63)
  }

  @Test func policiesAndExemptLayersDecideWhatIsKept() throws {
    for policy in PolicyKind.allCases {
      let parameters = try RetentionParameters(
        policy: policy, sinks: 2, lag: 8, ratio: 0.5, exemptLayers: [1, 3])
      let expected = policy == .full ? 8 : policy == .streaming ? 0 : 4
      #expect(parameters.keptPerPartition(layer: 0) == expected)
      #expect(parameters.keptPerPartition(layer: 1) == 8)
      #expect(parameters.geometry(layer: 3) == TokenGeometry(sinks: 2, lag: 8, kept: 8))
    }
  }

  @Test(arguments: [
    (-1, 1, 0.5, 1.0, RetentionError.Code.sinks), (1_048_577, 1, 0.5, 1, .sinks), (0, 0, 0.5, 1, .lag),
    (0, 65_537, 0.5, 1, .lag), (0, 1, -0.1, 1, .ratio), (0, 1, 1.1, 1, .ratio), (0, 1, .nan, 1, .ratio),
    (0, 1, 0.5, -1, .valueWeight), (0, 1, 0.5, .infinity, .valueWeight), (0, 1, 0.5, .nan, .valueWeight),
    (0, 1, 0.5, 1e39, .valueWeight),
  ])
  func impossibleParametersAreRefused(
    sinks: Int, lag: Int, ratio: Double, valueWeight: Double, code: RetentionError.Code
  ) {
    let error = #expect(throws: RetentionError.self) {
      try RetentionParameters(
        policy: .lagkv, sinks: sinks, lag: lag, ratio: ratio, valueWeight: valueWeight)
    }
    #expect(error?.code == code)
  }

  @Test func theLimitsThemselvesAreValid() throws {
    _ = try RetentionParameters(policy: .lagkv, sinks: 0, lag: 1, ratio: 0, valueWeight: 0)
    _ = try RetentionParameters(policy: .lagkv, sinks: 1_048_576, lag: 65_536, ratio: 1)
    let error = #expect(throws: RetentionError.self) {
      try RetentionParameters(policy: .lagkv, sinks: 0, lag: 1, ratio: 0, exemptLayers: [-1])
    }
    #expect(error?.code == .exemptLayers)
  }

  @Test func namesAndCodesAreThoseOfTheWire() {
    #expect(ElementType.allCases.map(\.name) == ["f32", "bf16", "f16"])
    #expect(ElementType.allCases.map(\.rawValue) == [0, 1, 2])
    #expect(ElementType.allCases.map(\.byteCount) == [4, 2, 2])
    #expect(ElementType.allCases.allSatisfy { ElementType(name: $0.name) == $0 })
    #expect(ElementType(name: "f64") == nil)
    #expect(PolicyKind.allCases.map(\.name) == ["lagkv", "l2norm", "streaming", "random", "full"])
    #expect(PolicyKind.allCases.allSatisfy { PolicyKind(name: $0.name) == $0 })
    #expect(PolicyKind(name: "LagKV") == nil)
  }
}

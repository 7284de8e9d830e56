import Charts
import ClaimExperiment
import Foundation
import Testing

@Suite struct ResultTablesTests {
  private static let design = ExperimentDesign(
    model: "/model", seeds: [1, 2, 3], steps: 500, documentsPerStep: 4, documents: 100)

  /// What eval would print, with a recall for each policy.
  private func output(_ recalls: [(Keep, Double)]) throws -> EvalOutput {
    let rows = recalls.map { keep, recall in
      """
      {"policy": "\(keep.policy)", "ratio": \(keep.ratio ?? 1), "kept": 0.18, "right": \(Int(recall * 1000)), "asked": 1000,
       "recall": {"value": \(recall), "low": 0, "high": 1}, "answer_nll": \(1 - recall), "bits_per_byte": 1.75,
       "layers": [{"layer": 0, "rows": 0.18, "value_norm": 0.2, "evidence": 0.5}]}
      """
    }
    let text = "{\"compute\": \"f32\", \"results\": [\(rows.joined(separator: ","))]}"
    return try JSONDecoder().decode(EvalOutput.self, from: Data(text.utf8))
  }

  private func pilot() throws -> EvalOutput {
    try output(
      zip(Self.design.pilotSet.keeps, [0.95, 0.9, 0.75, 0.4, 0.02, 0, 0]).map { ($0, $1) })
  }

  /// Models of all seeds, whose recall at r is the arm's, and a little the seed's.
  private func measurements(full: Double, lrsa: Double, random: Double) throws -> Measurements {
    var outputs = [TrainedModel.pilot.stage(of: "pilot"): try pilot()]
    let r = 0.125
    for arm in Arm.allCases {
      let recalls: [Arm: Double] = [.base: 0.3, .dense: 0.4, .lrsa: lrsa, .random: random]
      let recall = recalls[arm] ?? 0
      let models =
        arm == .base ? [TrainedModel.base] : Self.design.seeds.map { TrainedModel(arm: arm, seed: $0) }
      for model in models {
        let own = recall + 0.01 * Double((model.seed ?? 0) * (arm == .lrsa ? 2 : 1))
        for set in Self.design.testSets(r) {
          let rows = set.keeps.map { keep in
            (keep, keep == .full ? full : keep == .lagkv(r) ? own : own / 2)
          }
          outputs[model.stage(of: set.name)] = try output(rows)
        }
        outputs[model.stage(of: "plain")] = try output([(.full, 0.5), (.lagkv(r), 0.5)])
      }
    }
    return Measurements(Self.design, outputs)
  }

  @Test func thePrimaryFigureIsTheMeanOfPairs() throws {
    let comparison = Comparison(try measurements(full: 0.95, lrsa: 0.6, random: 0.4), ratio: 0.125)
    let primary = try #require(comparison.primary)
    // By seed 0.21, 0.22, 0.23.
    #expect(primary.count == 3 && abs(primary.mean - 0.22) < 1e-12)
    let interval = try #require(primary.interval)
    #expect(abs(interval.upperBound - interval.lowerBound - 2 * 4.303 * 0.01 / 3.0.squareRoot()) < 1e-9)
    // (0.62 − 0.41) / (0.95 − 0.41)
    #expect(abs(try #require(comparison.recovery(.lrsa)[1]) - 0.21 / 0.54) < 1e-12)
    #expect(comparison.recovery(.lrsa).count == 3)
  }

  @Test func verdictsFollowTheRule() throws {
    func verdict(_ full: Double, _ lrsa: Double) throws -> Comparison.Verdict? {
      Comparison(try measurements(full: full, lrsa: lrsa, random: 0.4), ratio: 0.125).verdict
    }
    #expect(try verdict(0.95, 0.6) == .better)
    #expect(try verdict(0.95, 0.2) == .worse)
    #expect(try verdict(0.95, 0.38) == .undecided)
    #expect(try verdict(0.89, 0.6) == .doesNotCount)
    #expect(Comparison(Measurements(Self.design, [:]), ratio: 0.125).verdict == nil)
  }

  @Test func tablesHaveTheFigures() throws {
    let tables = try #require(ResultTables(try measurements(full: 0.95, lrsa: 0.6, random: 0.4)))
    #expect(tables.ratio == 0.125)
    let parts = tables.parts()
    #expect(Set(parts.keys) == ["pilot", "outcome", "seeds", "differences", "policies", "layers", "unseen"])
    let outcome = try #require(parts["outcome"])
    #expect(
      outcome.contains("r = 1/8: +0.220 [+0.195, +0.245], 3 seeds. Training under the selection helped"))
    #expect(outcome.contains("more than training under a random selection"))
    // The untouched model once, and three seeds of three arms, below two lines of head.
    #expect(try #require(parts["seeds"]).split(separator: "\n").count == 2 + 1 + 9)
    #expect(try #require(parts["differences"]).contains("by seed +0.39, +0.42, +0.44"))
    #expect(try #require(parts["policies"]).contains("| l2norm 1/8"))
    #expect(try #require(parts["unseen"]).contains("| 16 digits"))
    // A set that the dense control cannot do with everything in view is shown in brackets.
    let unseen = try #require(parts["unseen"])
    #expect(!unseen.contains("(+"))
    let weak = try #require(ResultTables(try measurements(full: 0.5, lrsa: 0.6, random: 0.4)))
    #expect(try #require(weak.parts()["unseen"]).contains("(+0.220 [+0.195, +0.245])"))
    #expect(try #require(weak.parts()["outcome"]).contains("does not count"))
    #expect(tables.figure().svg().contains("LRSA"))
  }

  @Test func whatIsNotThereIsLeftOut() throws {
    #expect(ResultTables(Measurements(Self.design, [:])) == nil)
    let onlyPilot = Measurements(Self.design, [TrainedModel.pilot.stage(of: "pilot"): try pilot()])
    let parts = try #require(ResultTables(onlyPilot)).parts()
    #expect(Array(parts.keys) == ["pilot"])
    #expect(try #require(parts["pilot"]).contains("r = 1/8"))
  }

  @Test func placesAreFilledAgainAndAgain() throws {
    let source =
      "# A\n<!-- claim: one -->\nold\nlines\n<!-- end -->\ntext\n<!-- claim: two -->\n<!-- end -->\n"
    var document = try MarkedDocument(source)
    #expect(document.places == ["one", "two"])
    document.fill(["one": "| a |\n"], missing: "Not run yet.")
    let filled =
      "# A\n<!-- claim: one -->\n\n| a |\n\n<!-- end -->\ntext\n<!-- claim: two -->\n\nNot run yet.\n\n<!-- end -->\n"
    #expect(document.text == filled)
    var again = try MarkedDocument(filled)
    again.fill(["one": "| a |\n"], missing: "Not run yet.")
    #expect(again.text == filled)
  }

  @Test(arguments: [
    "no places", "<!-- claim: a -->\n", "<!-- end -->\n",
    "<!-- claim: a -->\n<!-- claim: b -->\n<!-- end -->",
    "<!-- claim: a -->\n<!-- end -->\n<!-- claim: a -->\n<!-- end -->",
  ]) func brokenDocumentsAreRefused(_ text: String) {
    #expect(throws: MarkedDocument.Flaw.self) { try MarkedDocument(text) }
  }
}

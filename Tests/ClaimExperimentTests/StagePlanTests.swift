import ClaimExperiment
import Testing

@Suite struct StagePlanTests {
  private static let design = ExperimentDesign(
    model: "/model", seeds: [1, 2, 3, 4, 5], steps: 500, documentsPerStep: 4, documents: 100)
  private let plan = StagePlan(Self.design)

  /// What stands behind an option.
  private func value(_ option: String, _ stage: Stage) -> String? {
    stage.arguments.firstIndex(of: option).map { stage.arguments[$0 + 1] }
  }

  @Test func everyStageStandsBehindWhatItNeeds() {
    var known: Set<String> = []
    for stage in plan.pilot() + plan.main(ratio: 0.125) {
      #expect(stage.needs.allSatisfy(known.contains), "\(stage.name)")
      #expect(known.insert(stage.name).inserted, "\(stage.name) stands twice")
      // Files that one stage reads are those that another writes.
      if stage.kind == .evaluate, let file = value("--from", stage) {
        #expect(stage.needs.contains { name in "data/\(name.dropFirst(6)).jsonl" == file }, "\(stage.name)")
      }
    }
  }

  /// Within a seed arms differ in policy and ratio alone; between seeds in documents and order too.
  @Test func armsDifferInNothingElse() throws {
    let trainings = plan.main(ratio: 0.125).filter { $0.kind == .train }
    #expect(trainings.count == 15)
    func without(_ options: Set<String>, _ stage: Stage) -> [String] {
      stage.arguments.indices.filter { index in
        !options.contains(stage.arguments[index])
          && (index == 0 || !options.contains(stage.arguments[index - 1]))
      }.map { stage.arguments[$0] }
    }
    for start in stride(from: 0, to: 15, by: 3) {
      let arms = trainings[start..<start + 3].map { without(["--policy", "--ratio", "-o"], $0) }
      #expect(Set(arms).count == 1)
    }
    let seeds = stride(from: 0, to: 15, by: 3).map { without(["--data", "--seed", "-o"], trainings[$0]) }
    #expect(Set(seeds).count == 1)
    #expect(Set(trainings.map { value("--data", $0) }).count == 5)
    #expect(trainings.prefix(3).map { value("--policy", $0) } == ["full", "lagkv", "random"])
    #expect(trainings.prefix(3).map { value("--ratio", $0) } == ["1.0", "0.125", "0.125"])
    let pilot = try #require(plan.pilot().first { $0.kind == .train })
    #expect(without(["--data", "--seed", "-o"], pilot) == seeds[0])
  }

  /// Every model is asked the same documents, from text that no training drew from, with no question within the window.
  @Test func testsAreTheSameForAll() throws {
    let stages = plan.pilot() + plan.main(ratio: 0.125)
    var bySet: [String: Set<[String]>] = [:]
    for stage in stages where stage.kind == .evaluate && !stage.name.contains("pilot") {
      // eval-base-SET, eval-SEED-ARM-SET
      let parts = stage.name.split(separator: "-")
      let set = parts.dropFirst(parts[1] == "base" ? 2 : 3).joined(separator: "-")
      bySet[set, default: []].insert(Array(stage.arguments.dropFirst(2)))
    }
    #expect(bySet.count == 9)
    #expect(bySet.values.allSatisfy { $0.count == 1 })
    var seeds: Set<String> = []
    for stage in stages where stage.kind == .plant {
      #expect(stage.arguments.contains("--held-out") == stage.name.contains("test"))
      let seed = try #require(value("--seed", stage))
      #expect(seeds.insert(seed).inserted, "\(stage.name) repeats another's documents")
    }
    for set in Self.design.testSets(0.125) + [Self.design.pilotSet] {
      let plant = try #require(stages.first { $0.name == "plant-\(set.file)" })
      let (gap, documents) = (
        value("--gap", plant).flatMap(Int.init), value("--documents", plant).flatMap(Int.init)
      )
      #expect(try #require(gap) >= 2 * set.lag)
      #expect(try #require(documents) >= set.documents)
    }
  }
}

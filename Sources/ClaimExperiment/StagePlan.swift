/// The stages of the experiment, each behind those that it needs.
package struct StagePlan {
  let design: ExperimentDesign

  package init(_ design: ExperimentDesign) { self.design = design }

  /// The text, in the experiment's folder.
  package static let text = "text.txt"

  /// A dense control with data of its own, asked at every ratio.
  package func pilot() -> [Stage] {
    let set = design.pilotSet
    return [
      plant(training: ExperimentDesign.pilotSeed), plant(set), train(.pilot, ratio: 1), evaluate(.pilot, set),
    ]
  }

  /// All that follows when the ratio is known: seed after seed, so that whole pairs are there early.
  package func main(ratio: Double) -> [Stage] {
    let sets = design.testSets(ratio)
    var stages: [Stage] = []
    var planted: Set<String> = []
    for set in sets where planted.insert(set.file).inserted { stages.append(plant(set)) }
    stages += evaluations(.base, sets, ratio)
    for seed in design.seeds {
      let models = Arm.trained.map { TrainedModel(arm: $0, seed: seed) }
      stages.append(plant(training: seed))
      stages += models.map { train($0, ratio: ratio) }
      for model in models { stages += evaluations(model, sets, ratio) }
    }
    return stages
  }

  private func evaluations(_ model: TrainedModel, _ sets: [TestSet], _ ratio: Double) -> [Stage] {
    sets.map { evaluate(model, $0) } + [predict(model, design.plainKeeps(ratio))]
  }

  // MARK: Stages

  private func numbers(most: Int) -> String {
    design.fewestNumbers == most ? "\(most)" : "\(design.fewestNumbers)...\(most)"
  }

  private func plant(
    _ name: String, file: String, length: Int, digits: Int, gap: Int, numbers: String, documents: Int,
    seed: Int,
    _ more: [String]
  ) -> Stage {
    Stage(
      name: name, kind: .plant,
      arguments: [
        "plant", "--text", Self.text, "--length", "\(length)", "--numbers", numbers, "--digits", "\(digits)",
        "--gap", "\(gap)", "--documents", "\(documents)", "--seed", "\(seed)",
        "--hold-out", "\(ExperimentDesign.holdOut)",
      ] + more + ["-o", "data/\(file).jsonl", "--json"],
      needs: [], work: Double(documents * length))
  }

  private func plant(training seed: Int) -> Stage {
    plant(
      "plant-train-\(seed)", file: "train-\(seed)", length: design.length, digits: ExperimentDesign.digits,
      gap: design.gap, numbers: numbers(most: design.mostNumbers), documents: design.trainingDocuments,
      seed: seed,
      ["--plain-share", "\(ExperimentDesign.plainShare)"])
  }

  private func plant(_ set: TestSet) -> Stage {
    plant(
      "plant-\(set.file)", file: set.file, length: set.length, digits: set.digits, gap: set.gap,
      numbers: numbers(most: design.mostTestNumbers),
      documents: set.documents, seed: set.seed, ["--held-out"])
  }

  private func train(_ model: TrainedModel, ratio: Double) -> Stage {
    let keep = model.arm.keep(ratio) ?? .full
    let seed = model.seed ?? 0
    let run = "runs/\(model.name)"
    return Stage(
      name: "train-\(model.name)", kind: .train,
      arguments: [
        "posttrain", design.model, "--data", "data/train-\(seed).jsonl", "--length", "\(design.length)",
        "--policy", keep.policy, "--ratio", "\(keep.ratio ?? 1)", "--sinks", "\(design.sinks)",
        "--lag", "\(design.lag)", "--dtype", "f32", "--chunk", "\(min(design.length, 2048))",
        "--steps", "\(design.steps)", "--documents-per-step", "\(design.documentsPerStep)", "--together", "1",
        "--warm-up", "\(design.warmUp)",
        "--learning-rate", "\(ExperimentDesign.learningRate)", "--final-share",
        "\(ExperimentDesign.finalShare)",
        "--weight-decay", "\(ExperimentDesign.weightDecay)", "--clip", "\(ExperimentDesign.clip)",
        "--seed", "\(seed)", "--checkpoint-seconds", "30", "-o", run, "--json",
      ],
      needs: ["plant-train-\(seed)"], work: Double(design.trainingDocuments * design.length), run: run)
  }

  private func evaluation(
    _ model: TrainedModel, _ set: String, lag: Int, _ keeps: [Keep], needs: [String], tokens: Int,
    _ more: [String]
  ) -> Stage {
    let folder = model.arm == .base ? design.model : "runs/\(model.name)/model"
    return Stage(
      name: model.stage(of: set), kind: .evaluate,
      arguments: ["eval", folder] + more + [
        "--sinks", "\(design.sinks)", "--lag", "\(lag)", "--dtype", "f32", "--json",
      ] + keeps.flatMap { ["--keep", $0.argument] },
      needs: needs + (model.arm == .base ? [] : ["train-\(model.name)"]),
      work: Double(tokens * keeps.count))
  }

  private func evaluate(_ model: TrainedModel, _ set: TestSet) -> Stage {
    evaluation(
      model, set.name, lag: set.lag, set.keeps, needs: ["plant-\(set.file)"],
      tokens: set.documents * set.length,
      ["--task", "numbers", "--from", "data/\(set.file).jsonl", "--documents", "\(set.documents)"])
  }

  /// Bits per byte of the held-out text.
  private func predict(_ model: TrainedModel, _ keeps: [Keep]) -> Stage {
    let documents = max(1, design.documents / 2)
    // Reading alone takes about a third of reading, asking and scoring.
    return evaluation(
      model, "plain", lag: design.lag, keeps, needs: [], tokens: documents * design.length / 3,
      [
        "--task", "bits-per-byte", "--text", Self.text, "--hold-out", "\(ExperimentDesign.holdOut)",
        "--held-out",
        "--length", "\(design.length)", "--documents", "\(documents)",
      ])
  }
}

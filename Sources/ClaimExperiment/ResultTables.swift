/// The measured parts of `docs/results.md`, by the names of their places. A part of which nothing has been measured is left out.
package struct ResultTables {
  let measurements: Measurements
  package let ratio: Double
  let comparison: Comparison
  var design: ExperimentDesign { measurements.design }

  /// - Returns: nil before the ratio is known.
  package init?(_ measurements: Measurements) {
    guard let choice = measurements.choice else { return nil }
    self.measurements = measurements
    ratio = choice.ratio
    comparison = Comparison(measurements, ratio: choice.ratio)
  }

  /// Places of the document, and what belongs there.
  package func parts() -> [String: String] {
    var parts = ["pilot": pilot()]
    guard hasAny("main") else { return parts }
    parts["outcome"] = outcome()
    parts["seeds"] = seeds()
    parts["differences"] = differences()
    parts["policies"] = policies()
    parts["layers"] = layers()
    parts["unseen"] = unseen()
    return parts
  }

  func hasAny(_ set: String) -> Bool {
    Arm.allCases.contains { !measurements.recall($0, set, .lagkv(ratio)).isEmpty }
  }

  // MARK: Pilot

  private func pilot() -> String {
    var table = MarkdownTable([
      "pilot's dense control", "rows kept", "right", "recall", "Wilson 95%", "answer NLL",
    ])
    for keep in design.pilotSet.keeps {
      guard let row = measurements[.pilot, "pilot", keep] else { continue }
      table.add([
        keep.title, Cell.number(row.kept), "\(row.right ?? 0)/\(row.asked ?? 0)",
        Cell.number(row.recall?.value),
        interval(row), Cell.number(row.answerNLL),
      ])
    }
    let choice = measurements.choice
    let place = choice?.isInRange == true ? "" : ", which no ratio brings into 0.2–0.7"
    return table.text
      + "\nr = \(Ratio.text(ratio)): the recall of \(Cell.number(choice?.recall)) is the nearest to 0.45\(place).\n"
  }

  private func interval(_ row: Measurement) -> String {
    row.recall.map { Cell.number($0.low) + "–" + Cell.number($0.high) } ?? Cell.nothing
  }

  // MARK: The arms

  /// Every seed of every arm.
  private func seeds() -> String {
    var table = MarkdownTable([
      "seed", "arm", "right at r", "recall at r", "Wilson 95%", "recall, full", "answer NLL at r",
      "NLL, full",
      "bits/byte at r", "bits/byte, full",
    ])
    for (model, seed) in models {
      guard let row = measurements[model, "main", .lagkv(ratio)] else { continue }
      let full = measurements[model, "main", .full]
      table.add([
        seed, model.arm.title, "\(row.right ?? 0)/\(row.asked ?? 0)", Cell.number(row.recall?.value),
        interval(row),
        Cell.number(full?.recall?.value), Cell.number(row.answerNLL), Cell.number(full?.answerNLL),
        Cell.number(measurements[model, "plain", .lagkv(ratio)]?.bitsPerByte, 4),
        Cell.number(measurements[model, "plain", .full]?.bitsPerByte, 4),
      ])
    }
    return table.text
  }

  private var models: [(TrainedModel, String)] {
    [(.base, "all")]
      + design.seeds.flatMap { seed in Arm.trained.map { (TrainedModel(arm: $0, seed: seed), "\(seed)") } }
  }

  private func differences() -> String {
    let r = Keep.lagkv(ratio)
    var table = MarkdownTable(["figure", "seeds", "mean difference [95% interval]"])
    func add(_ name: String, _ estimate: Estimate?, _ digits: Int = 3) {
      table.add([name, "\(estimate?.count ?? 0)", Cell.difference(estimate, digits)])
    }
    add("**recall at r, LRSA − dense (primary)**", comparison.primary)
    add("recall at r, LRSA − random", comparison.recall(.lrsa, minus: .random))
    add("recall at r, random − dense", comparison.recall(.random, minus: .dense))
    add("recall at r, dense − base", comparison.recall(.dense, minus: .base))
    add("answer NLL at r, LRSA − dense", comparison.answerNLL(.lrsa, minus: .dense, r))
    add("answer NLL at r, LRSA − random", comparison.answerNLL(.lrsa, minus: .random, r))
    add(
      "cost: recall with the full cache, LRSA − dense", comparison.recall(.lrsa, minus: .dense, "main", .full)
    )
    add(
      "cost: bits/byte with the full cache, LRSA − dense",
      comparison.bitsPerByte(.lrsa, minus: .dense, .full), 4)
    add("bits/byte at r, LRSA − dense", comparison.bitsPerByte(.lrsa, minus: .dense, r), 4)
    return table.text + "\n" + recovery(.lrsa) + recovery(.random)
  }

  private func recovery(_ arm: Arm) -> String {
    let values = comparison.recovery(arm)
    let list = values.sorted { $0.key < $1.key }.map { Cell.signed($0.value, 2) }.joined(separator: ", ")
    return
      "Recovery by \(arm.title) of what dense loses: \(Cell.difference(Estimate(Array(values.values)), 2))"
      + (list.isEmpty ? "" : "; by seed \(list)") + ".\n\n"
  }
}

extension ResultTables {
  /// What the primary figure says, in words, by the rule that was fixed before.
  func outcome() -> String {
    let figure =
      "LRSA − dense, exact recall at r = \(Ratio.text(ratio)): \(Cell.difference(comparison.primary))"
    let done = comparison.primary?.count ?? 0
    guard let verdict = comparison.verdict else {
      return "\(figure), \(done) of \(design.seeds.count) seeds. No interval of all seeds, no verdict.\n"
    }
    let words =
      switch verdict {
      case .better: "Training under the selection helped: the whole interval is above 0."
      case .worse: "Training under the selection did harm: the whole interval is below 0."
      case .undecided: "No effect was shown: the interval holds 0."
      case .doesNotCount:
        "It does not count: the dense control recalls less than \(Comparison.leastFullRecall) with the full cache."
      }
    return "**\(figure), \(done) seeds. \(words)** \(selection())\n"
  }

  /// Whether it takes LagKV's selection, or any sparsity.
  private func selection() -> String {
    guard let estimate = comparison.recall(.lrsa, minus: .random), let interval = estimate.interval else {
      return ""
    }
    let words =
      interval.lowerBound > 0
      ? "more than training under a random selection of as many rows"
      : interval.upperBound < 0
        ? "less than training under a random selection of as many rows"
        : "not told apart from training under a random selection of as many rows"
    return "Against the random control: \(Cell.difference(estimate)), \(words)."
  }

  // MARK: Policies and layers

  /// Each arm under each policy, with as many rows.
  func policies() -> String {
    var table = MarkdownTable(["policy at inference", "rows kept"] + Arm.allCases.map(\.title))
    for keep in design.mainSet(ratio).keeps {
      let rows = Arm.allCases.compactMap { arm in
        measurements.mean(measurements.bySeed(arm, "main", keep) { $0.kept })
      }
      guard let kept = rows.first else { continue }
      table.add(
        [keep.title, Cell.number(kept, 4)]
          + Arm.allCases.map { Cell.number(measurements.mean(measurements.recall($0, "main", keep))) })
    }
    return table.text
  }

  /// Of the answers' bytes, how many each layer still has when they are asked for.
  func layers() -> String {
    let keep = Keep.lagkv(ratio)
    let layers = measurements[.base, "main", keep]?.layers.map(\.layer) ?? []
    var table = MarkdownTable(["layer", "rows kept"] + Arm.allCases.map(\.title))
    for layer in layers {
      func mean(_ arm: Arm, _ figure: (Measurement.Layer) -> Double?) -> Double? {
        measurements.mean(
          measurements.bySeed(arm, "main", keep) { row in
            row.layers.first { $0.layer == layer }.flatMap(figure)
          })
      }
      table.add(
        ["\(layer)", Cell.number(mean(.base, \.rows), 4)]
          + Arm.allCases.map { Cell.number(mean($0, \.evidence)) })
    }
    return table.text
  }

  // MARK: What no arm was trained with

  func unseen() -> String {
    var table = MarkdownTable(
      ["asked", "rows kept", "dense, full"] + Arm.allCases.map(\.title) + ["LRSA − dense [95% interval]"])
    for (name, set, keep, reference) in conditions {
      let recalls = Arm.allCases.map { measurements.mean(measurements.recall($0, set, keep)) }
      guard recalls.contains(where: { $0 != nil }) else { continue }
      let kept = measurements.mean(measurements.bySeed(.dense, set, keep) { $0.kept })
      let full = measurements.mean(measurements.recall(.dense, reference, .full))
      let difference = Cell.difference(comparison.recall(.lrsa, minus: .dense, set, keep))
      // Shown, but not counted.
      let counts = comparison.counts(reference) ?? false
      table.add(
        [name, Cell.number(kept), Cell.number(full)] + recalls.map { Cell.number($0) }
          + [counts ? difference : "(\(difference))"])
    }
    return table.text
  }

  /// Name, set, policy, and the set whose full-cache recall says whether it counts.
  private var conditions: [(String, String, Keep, String)] {
    let r = Keep.lagkv(ratio)
    var conditions: [(String, String, Keep, String)] = [
      ("as trained: L \(design.lag), 8 digits, \(design.length)", "main", r, "main"),
      ("r \(Ratio.text(2 * ratio))", "main", .lagkv(2 * ratio), "main"),
      ("r \(Ratio.text(ratio / 2))", "main", .lagkv(ratio / 2), "main"),
    ]
    for set in design.lagSets(ratio) {
      let reference = set.keeps.contains(.full) ? set.name : "main"
      conditions.append(("L \(set.lag)", set.name, r, reference))
    }
    for set in design.digitSets(ratio) { conditions.append(("\(set.digits) digits", set.name, r, set.name)) }
    for set in design.lengthSets(ratio) {
      conditions.append(("length \(set.length)", set.name, r, set.name))
    }
    return conditions
  }
}

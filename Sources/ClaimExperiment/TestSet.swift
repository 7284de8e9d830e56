/// Documents with planted numbers from the held-out text, and what is asked of them.
package struct TestSet: Sendable, Hashable {
  package var name: String
  /// Documents, without the ending `.jsonl`; sets can share them.
  package var file: String
  package var length: Int
  package var digits: Int
  var gap: Int
  package var lag: Int
  package var documents: Int
  var seed: Int
  package var keeps: [Keep]
}

extension ExperimentDesign {
  private func testSet(
    _ name: String, seed: Int, documents share: Double, length: Int? = nil,
    digits: Int = ExperimentDesign.digits, lag: Int? = nil, _ keeps: [Keep]
  ) -> TestSet {
    let lag = lag ?? self.lag
    return TestSet(
      name: name, file: "test-\(name)", length: length ?? self.length, digits: digits,
      gap: 2 * max(lag, self.lag),
      lag: lag, documents: max(1, Int(Double(documents) * share)), seed: Self.testSeed + seed, keeps: keeps)
  }

  /// Of the pilot, from which the ratio is chosen. Streaming shows that nothing is answered from the window.
  package var pilotSet: TestSet {
    testSet("pilot", seed: 1, documents: 0.6, [.full] + RatioChoice.candidates.map(Keep.lagkv) + [.streaming])
  }

  /// The set of the primary figure: under the full cache, at the ratio, a finer and a coarser one, and under other policies that
  /// keep as many rows.
  package func mainSet(_ ratio: Double) -> TestSet {
    testSet(
      "main", seed: 0, documents: 1,
      [.full, .lagkv(ratio), .lagkv(2 * ratio), .lagkv(ratio / 2), .random(ratio), .l2norm(ratio)])
  }

  /// Lags that no arm was trained with.
  package func lagSets(_ ratio: Double) -> [TestSet] {
    // A shorter lag's window ends before the main set's gap does, so it reads the main set's documents.
    var finer = testSet("lag-\(lag / 2)", seed: 0, documents: 0.4, lag: lag / 2, [.lagkv(ratio)])
    finer.file = mainSet(ratio).file
    return [finer, testSet("lag-\(2 * lag)", seed: 2, documents: 0.4, lag: 2 * lag, [.full, .lagkv(ratio)])]
  }

  /// Numbers of other lengths; with the main set's eight digits between them.
  package func digitSets(_ ratio: Double) -> [TestSet] {
    [6, 12, 16].enumerated().map { index, digits in
      testSet("digits-\(digits)", seed: 3 + index, documents: 0.4, digits: digits, [.full, .lagkv(ratio)])
    }
  }

  /// Longer documents, with as many numbers.
  package func lengthSets(_ ratio: Double) -> [TestSet] {
    [2, 4].enumerated().map { index, factor in
      testSet(
        "length-\(factor * length)", seed: 6 + index, documents: 0.4 / Double(factor),
        length: factor * length,
        [.full, .lagkv(ratio)])
    }
  }

  package func testSets(_ ratio: Double) -> [TestSet] {
    [mainSet(ratio)] + lagSets(ratio) + digitSets(ratio) + lengthSets(ratio)
  }

  /// What the held-out text is read under, without numbers, for bits per byte.
  package func plainKeeps(_ ratio: Double) -> [Keep] { [.full, .lagkv(ratio)] }
}

import Foundation
import RunRecord
import Testing

@Suite struct RunLogTests {
  /// Doubles of every kind and size, by their bits.
  private func doubles(_ count: Int) -> [Double] {
    var generator = SystemRandomNumberGenerator()
    let random = (0..<count).map { _ in Double(bitPattern: generator.next()) }
    return random + [
      0, -0.0, 1, 0.1, 3e-4, 1e15, 1e16, 1e17, 9_007_199_254_740_994, .leastNonzeroMagnitude,
      .greatestFiniteMagnitude,
      .infinity, -.infinity, .nan, .pi,
    ]
  }

  @Test func numbersComeBackBitForBit() throws {
    let values = doubles(2000)
    try withFolder { folder in
      let log = try RunLog(folder: folder, keepingThroughStep: 0)
      for (index, value) in values.enumerated() { try log.append(step(index + 1, loss: value)) }
      try log.close()
      let history = try RunHistory(folder: folder)
      #expect(history.steps.count == values.count)
      for (record, value) in zip(history.steps, values) {
        #expect(value.isNaN ? record.loss.isNaN : record.loss.bitPattern == value.bitPattern)
      }
    }
  }

  @Test func recordsComeBack() throws {
    try withFolder { folder in
      let log = try RunLog(folder: folder, keepingThroughStep: 0)
      let detail = "b.jsonl:12: \"\\ \u{1}\r\n\t\u{7f} \u{2028} 🐋 é"
      let event = EventRecord(step: 2, what: .resume, detail: detail)
      let skipped = step(2, loss: .infinity, skipped: "the loss is inf")
      let bare = EvaluationRecord(step: 2, loss: 1.5, documents: 1, isBest: false)
      try log.append(evaluation(0, drift: 0, isBest: true))
      try log.append(step(1))
      try log.append(skipped)
      try log.append(event)
      try log.append(bare)
      try log.append(EventRecord(step: 2, what: .init(rawValue: "later kind"), detail: ""))
      let history = try RunHistory(folder: folder)
      #expect(history.steps == [step(1), skipped])
      #expect(history.evaluations == [evaluation(0, drift: 0, isBest: true), bare])
      #expect(history.events.first == event)
      #expect(history.events.last?.what.rawValue == "later kind")
      #expect(history.tornLine == nil)
      #expect(history.name == (folder as NSString).lastPathComponent)
    }
  }

  /// What other programs rely on.
  @Test func linesAreOneObjectWithKindAndUnits() throws {
    try withFolder { folder in
      let log = try RunLog(folder: folder, keepingThroughStep: 0)
      try log.append(step(1, loss: .nan))
      try log.append(evaluation(1, drift: 0.125, isBest: true))
      try log.append(EventRecord(step: 1, what: .spike, detail: "9.5"))
      #expect(
        try text(folder + "/metrics.jsonl") == """
          {"kind":"step","step":1,"tokens":8192,"documents":8,"loss":null,"targets":8184,"learning_rate":0.0003,\
          "gradient_norm":0.7,"seconds":1.25,"tokens_per_second":6553.6,"not_finite":{"loss":"nan"}}
          {"kind":"evaluation","step":1,"loss":2.25,"bits_per_byte":3.2,"documents":4,"kept_set_drift":0.125,"is_best":true}
          {"kind":"event","step":1,"what":"spike","detail":"9.5"}

          """)
    }
  }

  /// A log that is taken up at any step has what an uninterrupted one had then, byte for byte.
  @Test func resumingCutsExactly() throws {
    func record(_ steps: ClosedRange<Int>, _ log: RunLog) throws {
      for index in steps {
        try log.append(step(index, loss: 1 / Double(index)))
        if index % 3 == 0 { try log.append(evaluation(index)) }
        if index % 4 == 0 { try log.append(EventRecord(step: index, what: .spike, detail: "\(index)")) }
      }
    }
    for kept in 1...10 {
      try withFolder { folder in
        let path = folder + "/metrics.jsonl"
        try record(1...kept, try RunLog(folder: folder, keepingThroughStep: 0))
        let expected = try text(path)
        try record(kept + 1...12, try RunLog(folder: folder, keepingThroughStep: kept))
        let whole = try text(path)
        // As a crash leaves it.
        try (whole + "{\"kind\":\"step\",\"st").write(toFile: path, atomically: false, encoding: .utf8)
        #expect(try RunHistory(folder: folder).tornLine == whole.split(separator: "\n").count + 1)
        let log = try RunLog(folder: folder, keepingThroughStep: kept)
        #expect(try text(path) == expected)
        try record(kept + 1...12, log)
        #expect(try text(path) == whole)
        #expect(!FileManager.default.fileExists(atPath: path + ".tmp"))
      }
    }
  }

  @Test func stepZeroBeginsAnewWhateverWasThere() throws {
    try withFolder { folder in
      let path = folder + "/metrics.jsonl"
      try "not a record\n".write(toFile: path, atomically: false, encoding: .utf8)
      let log = try RunLog(folder: folder, keepingThroughStep: 0)
      #expect(try text(path) == "")
      try log.append(step(1))
      #expect(try RunHistory(folder: folder).steps == [step(1)])
    }
  }

  /// A file that needs no cut is not touched, and a leftover of a cut that died is in nobody's way.
  @Test func nothingToCutLeavesTheFile() throws {
    try withFolder { folder in
      let path = folder + "/metrics.jsonl"
      try RunLog(folder: folder, keepingThroughStep: 0).append(step(1))
      let before = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
      try "half".write(toFile: path + ".tmp", atomically: false, encoding: .utf8)
      try RunLog(folder: folder, keepingThroughStep: 1).append(step(2))
      let after = try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
      #expect(before != nil && before == after)
      #expect(!FileManager.default.fileExists(atPath: path + ".tmp"))
      #expect(try RunHistory(folder: folder).steps.map(\.step) == [1, 2])
    }
  }

  @Test func aRottenLineStopsAResumeAndNothingIsLost() throws {
    try withFolder { folder in
      let path = folder + "/metrics.jsonl"
      let log = try RunLog(folder: folder, keepingThroughStep: 0)
      for index in 1...3 { try log.append(step(index)) }
      let rotten = try text(path).replacingOccurrences(of: "\"step\":2", with: "\"step\":2x")
      try rotten.write(toFile: path, atomically: false, encoding: .utf8)
      let error = #expect(throws: RunRecordError.self) { try RunLog(folder: folder, keepingThroughStep: 1) }
      #expect(error?.line == 2)
      #expect(error?.path == path)
      #expect(try text(path) == rotten)
      #expect(!FileManager.default.fileExists(atPath: path + ".tmp"))
    }
  }

  @Test func aFullDiskIsAnErrorThatNamesTheFile() throws {
    var file = try AppendFile.open("/dev/full")
    do throws(RunRecordError) {
      try file.append([1])
      Issue.record("nothing was thrown")
    } catch {
      #expect(error.systemCode == ENOSPC)
      #expect(error.description.hasPrefix("/dev/full: cannot write"))
    }
  }

  @Test func aFolderThatCannotBeMadeIsNamed() throws {
    let error = #expect(throws: RunRecordError.self) {
      try RunLog(folder: "/dev/null/run", keepingThroughStep: 0)
    }
    #expect(error?.code == .io)
    #expect(error?.path == "/dev/null/run")
  }
}

import Foundation
import RecallTasks
import Testing

/// What must hold of the documents that are made from nothing but a seed.
@Suite struct RecallDocumentsTests {
  static let tasks = RecallTask.allCases.filter { $0 != .numbers }

  private func documents(_ task: RecallTask, _ length: Int, _ count: Int = 12) throws -> [RecallDocument] {
    let made = try RecallDocuments(task, length: length, seed: 3)
    return try (0..<count).map { try made.document($0) { $0.utf8.count } }
  }

  @Test(arguments: tasks, [2048, 5000, 40_000]) func lengthIsMet(_ task: RecallTask, _ length: Int) throws {
    for document in try documents(task, length, 4) {
      let question = try #require(document.questions.first)
      let bytes = document.text.utf8.count + question.prompt.utf8.count
      #expect(bytes <= length && bytes >= length - max(length / 50, 128), "\(bytes)")
    }
    // Words as tokens: whatever the measure, it is met.
    let words = { (text: String) in text.split { $0 == " " || $0 == "\n" }.count }
    let made = try RecallDocuments(task, length: length / 5, seed: 4)
    let document = try made.document(1, tokens: words)
    let count = words(document.text + document.questions[0].prompt)
    #expect(count <= length / 5 && count >= length / 5 - max(length / 250, 16), "\(count)")
  }

  @Test(arguments: tasks) func aDocumentDoesNotDependOnTheOthers(_ task: RecallTask) throws {
    let all = try documents(task, 3000)
    #expect(try RecallDocuments(task, length: 3000, seed: 3).document(7) { $0.utf8.count } == all[7])
    #expect(Set(all.map(\.text)).count == all.count)
    #expect(try RecallDocuments(task, length: 3000, seed: 8).document(7) { $0.utf8.count } != all[7])
  }

  /// What is asked for stands in the document where it is said to, and the right answer is right.
  @Test(arguments: tasks) func whatIsAskedForIsThere(_ task: RecallTask) throws {
    for document in try documents(task, 4096) {
      try #require(document.questions.count == 1)
      let question = document.questions[0]
      let bytes = Array(document.text.utf8)
      #expect(question.place == bytes.count)
      #expect(!question.evidence.isEmpty && !question.expected.isEmpty)
      let evidence = question.evidence.map { String(decoding: bytes[$0], as: UTF8.self) }
      #expect(evidence.allSatisfy { piece in question.expected.contains { piece.contains($0) } })
      #expect(question.expected.allSatisfy { word in evidence.contains { $0.contains(word) } })
      #expect(
        question.expected.allSatisfy { !question.prompt.contains($0) }, "the question gives nothing away")
      let score = task.scoring.score(Array(question.answer.utf8), expected: question.expected)
      #expect(score == RecallScore(right: question.expected.count, asked: question.expected.count, share: 1))
      #expect(question.maximumTokens >= question.answer.utf8.count)
    }
  }

  @Test func passkeysAreStatedTwiceAndHave64Digits() throws {
    for document in try documents(.passkey, 4096) {
      let key = document.questions[0].expected[0]
      #expect(key.count == 64 && key.allSatisfy(\.isNumber))
      let parts = document.text.components(separatedBy: key)
      #expect(parts.count == 3 && !parts.joined().contains(where: \.isNumber))
    }
  }

  /// Depth is drawn: needles stand in the first and in the last third, too.
  @Test func needlesStandAnywhere() throws {
    let depths = try documents(.niahSingle1, 4096, 60).map { document in
      Double(document.questions[0].evidence[0].lowerBound) / Double(document.text.utf8.count)
    }
    #expect(depths.contains { $0 < 0.3 } && depths.contains { $0 > 0.7 })
    #expect(Set(depths).count > 40)
  }

  @Test(arguments: [RecallTask.niahMultikey2, .niahMultikey3]) func everyNeedleHasAKeyOfItsOwn(
    _ task: RecallTask
  ) throws {
    let form =
      task == .niahMultikey2
      ? /One of the special magic numbers for ([a-z]+-[a-z]+) is: ([1-9][0-9]{6})\./
      : /One of the special magic uuids for ([0-9a-f-]{36}) is: ([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\./
    for document in try documents(task, 4096) {
      let lines = document.text.split(separator: "\n").dropFirst()
      var values: [Substring: Substring] = [:]
      for line in lines {
        let match = try #require(try form.wholeMatch(in: line))
        #expect(values.updateValue(match.2, forKey: match.1) == nil)
      }
      #expect(values.count > 15)
      let asked = values.filter { document.questions[0].prompt.contains($0.key) }
      #expect(asked.map { String($0.value) } == document.questions[0].expected)
    }
  }

  /// Following the assignments gives the variables that are asked for, in the document and in the sample before it.
  @Test func chainsOfVariablesHold() throws {
    for document in try documents(.variableTracking, 4096) {
      var values: [Substring: Substring] = [:]
      for match in document.text.matches(of: /VAR ([A-Z]+) = (VAR )?([A-Z]+|[0-9]{5})\./) {
        let value = match.2 == nil ? match.3 : try #require(values[match.3])
        #expect(values.updateValue(value, forKey: match.1) == nil)
      }
      let question = document.questions[0]
      let asked = try #require(question.prompt.firstMatch(of: /the value ([0-9]{5}) in/)).1
      #expect(Set(values.filter { $0.value == asked }.map { String($0.key) }) == Set(question.expected))
      #expect(question.expected.count == 5 && values.count == 10)
      let sample = try #require(
        document.text.firstMatch(of: /assigned the value ([0-9]{5}), they are: ([A-Z, ]+)\n/))
      let names = Set(sample.2.split(separator: ", "))
      #expect(Set(values.filter { $0.value == sample.1 }.keys) == names && sample.1 != asked)
    }
  }

  @Test(arguments: [1500, 4096, 30_000]) func theAskedWordsAreTheMostFrequent(_ length: Int) throws {
    for document in try documents(.frequentWords, length, 5) {
      let words = document.text.split(separator: "\n")[1].split(separator: " ")
      let counts = Dictionary(words.map { ($0, 1) }, uniquingKeysWith: +).sorted { $0.value > $1.value }
      #expect(counts[0].key == "...")
      #expect(counts[1...3].map { String($0.key) } == document.questions[0].expected)
      // Frequencies go as 1/k²: the second word is a quarter of the noise, and there is no tie at the cut.
      #expect(counts[3].value > counts[4].value)
      #expect(abs(Double(counts[1].value) / Double(counts[0].value) - 0.25) < 0.02)
    }
  }

  @Test func whatDoesNotFitIsSaid() throws {
    #expect(throws: RecallTaskError.self) { try RecallDocuments(.numbers, length: 100, seed: 1) }
    for task in Self.tasks {
      #expect(throws: RecallTaskError.self) { try documents(task, 120) }
    }
    // There are so many keys of words, and no more.
    let error = #expect(throws: RecallTaskError.self) { try documents(.niahMultikey2, 4_000_000, 1) }
    #expect(error?.code == .doesNotFit)
  }
}

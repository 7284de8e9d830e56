import ArgumentParser
import DurableFiles
import Foundation
import ModelToolSupport
import RecallTasks
import ToolSupport

struct Plant: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write documents in which numbers are stated and, later, asked for.",
    discussion: """
      From a text without digits, documents of exactly --length bytes. A number, such as " [41758213] ", is stated once; where \
      it is asked, its second occurrence begins with the three digits that ask for it, and the others are the answer. Each \
      line is {"text": …, "planted": [{"number", "stated", "asked"}, …]}, offsets in bytes. Document N of a seed is the same \
      however many are made. "ignored" names the bytes that training does not predict: digits that nobody could know, all where \
      a number is stated and the first three where it is asked.

      EXAMPLES
        lagoon-train plant --text kjv.txt --length 2048 --plain-share 0.5 --documents 2000 --seed 1 --hold-out 0.05 -o train.jsonl
        lagoon-train plant --text kjv.txt --length 2048 --numbers 8 --documents 100 --seed 9 --hold-out 0.05 --held-out -o test.jsonl
      """)

  @OptionGroup var planting: PlantingOptions

  @Option(help: "Documents to write.")
  var documents = 1000

  @Option(help: "Number of the first document.")
  var first = 0

  @Option(help: "Seed of the documents.")
  var seed: UInt64 = 1

  @Option(help: "Share of documents that are plain text, 0...1.")
  var plainShare = 0.0

  @Flag(help: "Have training predict every digit, also those that nobody could know.")
  var lossOnDigits = false

  @Option(name: .shortAndLong, help: "The .jsonl file to write.")
  var output: String

  @Flag(help: "Print what was written as JSON.")
  var json = false

  struct Result: Encodable {
    var output: String
    var documents: Int
    var plain: Int
    var numbers: Int
    var bytes: Int
  }

  func validate() throws {
    guard documents >= 1, first >= 0 else {
      throw ValidationError("--documents \(documents) --first \(first): there is nothing to write.")
    }
  }

  func run() throws {
    let planter = try planting.planter(seed: seed, gap: 128, plainShare: plainShare)
    let result = try ExitCleanup.finishing(withinSeconds: 5) { try write(planter) }
    if json { return try Output.json(result) }
    try Output.write(
      "\(output): \(Units.count(documents)) documents, \(Units.count(result.plain)) of them plain, "
        + "\(Units.count(result.numbers)) numbers, \(Units.bytes(result.bytes))\n")
  }

  private func write(_ planter: NumberPlanter) throws -> Result {
    var file = try AtomicFile(path: output)
    var result = Result(output: output, documents: documents, plain: 0, numbers: 0, bytes: 0)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let progress = ProgressLine(total: documents, unit: "documents")
    defer { progress.finish() }
    for number in 0..<documents {
      var document = try planter.document(first + number)
      if !lossOnDigits { document.ignoreUnforeseeableDigits() }
      let line = try encoder.encode(document) + Data([0x0A])
      try file.append([UInt8](line))
      result.plain += document.planted.isEmpty ? 1 : 0
      result.numbers += document.planted.count
      result.bytes += line.count
      progress.update(number + 1)
      try ExitCleanup.throwIfEnding()
    }
    try file.commit()
    return result
  }
}

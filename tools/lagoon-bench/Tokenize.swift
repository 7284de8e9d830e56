import ArgumentParser
import Foundation
import Tokenization
import ToolSupport

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Bytes per second of a tokenizer, at a quarter of a text, all of it and four times.",
    discussion: """
      One thread; the median of the rounds, the lengths interleaved. The ceiling is reading the same bytes from memory.

      EXAMPLES
        bible -f 'gen1:1-rev22:21' > bible.txt
        lagoon-bench tokenize Tests/Fixtures/tokenizers/llama3 --text bible.txt
      """)

  @Argument(help: "Folder with tokenizer.json or tokenizer.model.")
  var folder: String

  @Option(help: "The text: a file.")
  var text: String

  @Option(help: "Rounds of each length.")
  var rounds = 5

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard rounds >= 1 else { throw ValidationError("--rounds must be at least 1") }
  }

  func run() throws {
    guard let data = FileManager.default.contents(atPath: text), data.count >= 4096 else {
      throw ToolError("\(text) cannot be read or has less than 4 KiB")
    }
    let whole = [UInt8](data)
    var loaded: (any Tokenizer)?
    let loading = try seconds {
      loaded = try ModelTokenizer.load(folder: folder, vocabularySize: 1 << 24)
    }
    guard let tokenizer = loaded else { return }
    let texts = [Array(whole[..<(whole.count / 4)]), whole, whole + whole + whole + whole]
    let ceiling = Ceiling.MemoryRead(bytes: 64 << 20, threads: 1)
    var times = [[Double]](repeating: [], count: texts.count)
    var tokens = [Int](repeating: 0, count: texts.count)
    var reads: [Double] = []
    for _ in 0..<rounds {
      reads.append(ceiling.measure())
      for (index, text) in texts.enumerated() {
        times[index].append(
          try seconds { tokens[index] = try tokenizer.encode(text, isBeginning: true).count })
      }
    }
    let figures = texts.indices.map { index in
      Figure(
        name: "tokenize \(Units.bytes(texts[index].count)), \(tokenizer.summary)",
        figure: Double(texts[index].count) / times[index].median / 1e6, ceiling: reads.median / 1e6,
        unit: "MB/s",
        ceilingIs: "memory read",
        details: [
          "tokens": Double(tokens[index]),
          "bytes_per_token": Double(texts[index].count) / Double(tokens[index]),
          "loading_milliseconds": loading * 1e3,
        ])
    }
    try report(figures, json: output.json)
  }
}

import ArgumentParser
import ModelToolSupport
import Tokenization
import ToolSupport
import Transformer

struct Tokenize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print a text's token ids as a JSON array.",
    discussion: """
      EXAMPLES
        echo "In the beginning" | lagoon-lm tokenize data/kjv-tiny --text -
      """)

  @Argument(help: ArgumentHelp("Model folder: config.json and the tokenizer's files.", valueName: "model"))
  var folder: String

  @Option(help: "The text: a file, or - for standard input.")
  var text: String

  func run() throws {
    let configuration = try ModelConfiguration(folder: folder)
    let tokenizer = try ModelTokenizer.load(folder: folder, vocabularySize: configuration.vocabularySize)
    let ids = try tokenizer.encode(Input.source(text), isBeginning: true)
    try Output.write("[" + ids.map(String.init).joined(separator: ", ") + "]\n")
  }
}

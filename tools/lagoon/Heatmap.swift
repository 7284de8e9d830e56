import ArgumentParser
import Inspection
import ToolSupport

struct Heatmap: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Draw which tokens each head keeps along the document, as a PNG.",
    discussion: """
      A band for each KV head, the document from left to right. A column is a partition (or several, or a part of \
      one), its tokens run from top to bottom; the brighter a cell, the more of its tokens are kept. Sinks and \
      window are marked. docs/inspection.md tells how to read it.

      EXAMPLES
        lagoon heatmap book --layer 2 -o book.png
        lagoon heatmap book --layer all -o book.png
        lagoon heatmap book --layer 0 --from 8192 --to 9216 -o detail.png
        lagoon heatmap book --layer 0 -o book.png --json | jq .height
      """)

  /// `--layer`: one, or all of them.
  enum Layers: ExpressibleByArgument, Equatable {
    case one(Int)
    case all
    init?(argument: String) {
      if argument == "all" {
        self = .all
      } else if let layer = Int(argument), layer >= 0 {
        self = .one(layer)
      } else {
        return nil
      }
    }
  }

  @Argument(help: "The session's name.", completion: .sessionName) var session: String
  @Option(help: "The layer, counted from 0, or `all`.") var layer: Layers
  @Option(name: .shortAndLong, help: "The PNG file to write.", completion: .file(extensions: ["png"]))
  var output: String
  @Option(help: ArgumentHelp("Show tokens from this position on.", valueName: "position")) var from = 0
  @Option(help: ArgumentHelp("Show tokens before this position (default: all).", valueName: "position"))
  var to: Int?
  @Option(help: ArgumentHelp("Pixels that the document is drawn on, about.", valueName: "pixels"))
  var width = 1200
  @Option(
    help: ArgumentHelp(
      "The share of kept tokens that the brightest colour stands for, 0 to 1 (default: from the data). Fix it "
        + "to compare pictures.", valueName: "share"))
  var scaleTop: Double?
  @Option(help: ArgumentHelp("Point at this position; may be repeated.", valueName: "position"))
  var mark: [Int] = []
  @OptionGroup var source: SourceOptions
  @Flag(help: "Print what was drawn as JSON.") var json = false

  struct Result: Encodable {
    var output: String
    var session: String
    var tokens: Int
    var layers: [Int]
    var kvHeads: Int
    /// In pixels, as is the height.
    var width: Int
    var height: Int

    enum CodingKeys: String, CodingKey {
      case output, session, tokens, layers, width, height
      case kvHeads = "kv_heads"
    }
  }

  func validate() throws {
    guard from >= 0, from < to ?? Int.max else { throw ValidationError("--from must be below --to.") }
    guard (100...10_000).contains(width) else { throw ValidationError("--width must be 100 to 10000.") }
    if let scaleTop, !(scaleTop > 0 && scaleTop <= 1) {
      throw ValidationError("--scale-top must be above 0 and at most 1.")
    }
  }

  func run() throws {
    let source = try source.open()
    let session = try source.describe(session).session
    let indices: [Int]
    switch layer {
    case .all: indices = Array(0..<session.layers)
    case .one(let layer):
      guard layer < session.layers else {
        throw ToolError(
          "Session \(session.name) has layers 0 to \(session.layers - 1); there is no layer \(layer).")
      }
      indices = [layer]
    }
    let kept = try source.keptRows(session: session.name, layers: indices)
    let map = HeatMap(
      session: session.name, policy: session.policyLine, tokens: kept.tokens, sinks: session.sinks,
      lag: session.lag, window: kept.window, layers: kept.layers)
    var options = HeatMap.Options()
    options.plotWidth = width
    options.scaleTop = scaleTop
    options.marks = mark
    if from > 0 || to != nil { options.shown = from..<(to ?? max(kept.tokens, from + 1)) }
    let picture = try map.draw(options)
    try picture.writePNG(to: output)
    if json {
      return try Output.json(
        Result(
          output: output, session: session.name, tokens: kept.tokens, layers: indices,
          kvHeads: session.kvHeads, width: picture.width, height: picture.height))
    }
    try Output.write("\(output): \(picture.width) × \(picture.height) pixels\n")
  }
}

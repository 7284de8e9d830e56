/// What a heat map shows: which tokens each KV head of some layers of a session keeps.
public struct HeatMap: Sendable {
  /// One layer's kept rows.
  public struct Layer: Sendable {
    public let index: Int
    /// Per KV head: positions of the rows that it keeps, the window's included.
    public let kept: [[UInt32]]
    public init(index: Int, kept: [[UInt32]]) {
      self.index = index
      self.kept = kept
    }
  }

  public let session: String
  /// What decided over the rows, e.g. `lagkv, sinks 16, lag 64, ratio 0.25`.
  public let policy: String
  public let tokens: Int
  public let sinks: Int
  public let lag: Int
  /// Tokens at the document's end that are kept whole, whatever the policy.
  public let window: Int
  public let layers: [Layer]

  public init(
    session: String, policy: String, tokens: Int, sinks: Int, lag: Int, window: Int, layers: [Layer]
  ) {
    self.session = session
    self.policy = policy
    self.tokens = tokens
    self.sinks = sinks
    self.lag = lag
    self.window = window
    self.layers = layers
  }

  var bands: Int { layers.reduce(0) { $0 + $1.kept.count } }

  /// How large the picture becomes, and what of the document it shows.
  public struct Options: Sendable {
    /// Pixels that the document's length is drawn on, about.
    public var plotWidth = 1200
    /// Token positions to show; `nil`: all. Widened to whole partitions.
    public var shown: Range<Int>?
    /// The fraction that the brightest colour stands for; `nil`: chosen so that the cells use the whole ramp.
    public var scaleTop: Double?
    /// Positions to point at from below, e.g. where something was planted.
    public var marks: [Int] = []
    public init() {}
  }

  /// Pictures above this are refused: 40 megapixels.
  static let maxPixels = 40_000_000

  /// Draws the map.
  /// - Throws: ``HeatMapError`` when there is nothing to draw or the picture would be too large.
  public func draw(_ options: Options = Options()) throws(HeatMapError) -> Canvas {
    guard tokens > 0 else { throw .empty("session \(session) holds no tokens yet") }
    guard bands > 0 else { throw .empty("no layers to draw") }
    let shown = options.shown ?? 0..<tokens
    let layout = GridLayout(
      sinks: sinks, lag: lag, tokens: tokens, shown: shown, maxColumns: options.plotWidth)
    let showsSinks = shown.lowerBound < sinks && sinks > 0
    guard !layout.positions.isEmpty || showsSinks else {
      throw .empty(
        "positions \(shown.lowerBound)..<\(shown.upperBound) lie behind the last of \(tokens) tokens")
    }
    let frame = HeatMapFrame(map: self, layout: layout, showsSinks: showsSinks, plotWidth: options.plotWidth)
    guard frame.width * frame.height <= Self.maxPixels else {
      throw .tooLarge(
        "\(frame.width) × \(frame.height) pixels are too many for one picture; choose one layer or a smaller width"
      )
    }
    let grids = layers.map { layer in layer.kept.map { KeptGrid(layout, kept: $0) } }
    let top = options.scaleTop ?? scaleTop(grids)
    var canvas = Canvas(width: frame.width, height: frame.height)
    frame.drawTitle(on: &canvas)
    frame.drawBands(grids, scaleTop: top, on: &canvas)
    frame.drawBrackets(on: &canvas)
    frame.drawAxis(on: &canvas)
    frame.drawMarks(options.marks, on: &canvas)
    frame.drawLegend(scaleTop: top, on: &canvas)
    return canvas
  }

  /// The smallest round fraction that 99.5% of the cells before the window stay within.
  func scaleTop(_ grids: [[KeptGrid]]) -> Double {
    var fractions: [Float] = []
    for grid in grids.joined() {
      let beforeWindow = grid.layout.place(of: tokens - window).rounded(.down)
      let columns = min(max(0, Int(beforeWindow)), grid.layout.columns)
      fractions += grid.fractions.prefix(columns * grid.layout.rows).compactMap { $0 }
    }
    guard !fractions.isEmpty else { return 1 }
    fractions.sort()
    let high = Double(fractions[min(fractions.count - 1, fractions.count * 995 / 1000)])
    return [0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.75].first { $0 >= high } ?? 1
  }
}

/// Why there is no picture.
public enum HeatMapError: Error, Equatable, CustomStringConvertible {
  case empty(String)
  case tooLarge(String)
  public var description: String {
    switch self {
    case .empty(let message), .tooLarge(let message): message
    }
  }
}

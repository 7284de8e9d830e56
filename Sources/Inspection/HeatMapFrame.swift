/// Where everything of a heat map stands, in pixels, and how it is drawn.
struct HeatMapFrame {
  let map: HeatMap
  let layout: GridLayout
  let showsSinks: Bool

  let columnWidth: Int
  let rowHeight: Int
  let plotLeft: Int
  let plotTop: Int
  let plotWidth: Int
  let width: Int
  let height: Int

  // Everything is measured in the font's scale of 2: characters 12 pixels apart, capitals 14 high.
  static let scale = 2
  static let lineHeight = 24
  static let margin = 20
  static let bandGap = 6
  static let layerGap = 14
  static let sinkWidth = 10
  static let sinkGap = 6

  static let ink = Color(0x222222)
  static let faintInk = Color(0x666666)
  static let noTokens = Color(0xeeeeee)
  static let mark = Color(0xd1495b)

  init(map: HeatMap, layout: GridLayout, showsSinks: Bool, plotWidth: Int) {
    self.map = map
    self.layout = layout
    self.showsSinks = showsSinks
    columnWidth = max(1, plotWidth / max(1, layout.columns))
    self.plotWidth = layout.columns * columnWidth

    // Bands share about 900 pixels, and are never thinner than a line of text.
    let bandHeight = min(64, max(16, 900 / map.bands))
    rowHeight = max(1, bandHeight / layout.rows)

    let labels = map.layers.map { Self.label(layer: $0.index, head: max(0, $0.kept.count - 1)) }
    let labelWidth = labels.map { BitmapFont.width(of: $0, scale: Self.scale) }.max() ?? 0
    let sinkSpace = showsSinks ? Self.sinkWidth + Self.sinkGap : 0
    plotLeft = Self.margin + labelWidth + 12 + sinkSpace
    plotTop = Self.margin + 3 * Self.lineHeight + 30

    let bandsHeight =
      map.bands * (rowHeight * layout.rows + Self.bandGap) + (map.layers.count - 1) * Self.layerGap
    let texts = Self.titleLines(map) + [Self.cellNote(layout)]
    let textWidth = texts.map { BitmapFont.width(of: $0, scale: Self.scale) }.max() ?? 0
    // Room at the right for half of the last tick's label.
    width = max(plotLeft + self.plotWidth + 60, textWidth + 2 * Self.margin, 760)
    height = plotTop + bandsHeight + 70 + 3 * Self.lineHeight + Self.margin
  }

  static func label(layer: Int, head: Int) -> String { "layer \(layer) head \(head)" }

  var bandHeight: Int { rowHeight * layout.rows }

  /// The top edge of every band, in the order of layers and heads.
  var bandTops: [(layer: Int, head: Int, top: Int)] {
    var tops: [(layer: Int, head: Int, top: Int)] = []
    var top = plotTop
    for (index, layer) in map.layers.enumerated() {
      if index > 0 { top += Self.layerGap }
      for head in layer.kept.indices {
        tops.append((index, head, top))
        top += bandHeight + Self.bandGap
      }
    }
    return tops
  }

  var bandsBottom: Int { (bandTops.last?.top ?? plotTop) + bandHeight }

  /// The pixel column at which a position begins.
  func x(of position: Int) -> Int {
    plotLeft + Int((layout.place(of: position) * Double(columnWidth)).rounded(.down))
  }

  // MARK: Texts

  static func titleLines(_ map: HeatMap) -> [String] {
    let layers = map.layers.map(\.index)
    let which =
      layers.count == 1 ? "layer \(layers[0])" : "layers \(layers.min() ?? 0) to \(layers.max() ?? 0)"
    let rows = map.layers.first?.kept.first?.count ?? 0
    let factor = rows == 0 ? "-" : Numbers.factor(Double(map.tokens) / Double(rows))
    return [
      "\(map.session) · \(which)",
      map.policy,
      "\(Numbers.grouped(rows)) of \(Numbers.grouped(map.tokens)) tokens kept per head"
        + (layers.count == 1 ? "" : " in layer \(layers[0])") + " · ratio \(factor)",
    ]
  }

  static func cellNote(_ layout: GridLayout) -> String {
    let perCell = layout.tokensPerCell
    let count =
      perCell == perCell.rounded() ? "\(Int(perCell))" : "about " + Numbers.fixed(perCell, digits: 1)
    let cell = "cell: \(count) token\(perCell == 1 ? "" : "s")"
    let lag = layout.lag
    if layout.partitionsPerColumn > 1 {
      return "column: \(layout.partitionsPerColumn) partitions of \(lag) tokens over each other, "
        + "first token of each on top · \(cell) of each"
    }
    let column =
      layout.columnsPerPartition == 1
      ? "a partition of \(lag) tokens" : "1/\(layout.columnsPerPartition) of a partition of \(lag) tokens"
    return "column: \(column), first token on top · \(cell)"
  }
}

// MARK: Drawing

extension HeatMapFrame {
  func drawTitle(on canvas: inout Canvas) {
    for (line, text) in Self.titleLines(map).enumerated() {
      canvas.draw(
        text, x: Self.margin, y: Self.margin + line * Self.lineHeight, line == 0 ? Self.ink : Self.faintInk)
    }
  }

  func drawBands(_ grids: [[KeptGrid]], scaleTop: Double, on canvas: inout Canvas) {
    for band in bandTops {
      let grid = grids[band.layer][band.head]
      let label = Self.label(layer: map.layers[band.layer].index, head: band.head)
      let labelY = band.top + (bandHeight - BitmapFont.capHeight * Self.scale) / 2
      canvas.draw(label, x: Self.margin, y: labelY, Self.ink)
      if showsSinks {
        let kept = map.layers[band.layer].kept[band.head].count { $0 < map.sinks }
        let color = ColorRamp.color(Double(kept) / Double(min(map.sinks, map.tokens)) / scaleTop)
        canvas.fill(
          x: plotLeft - Self.sinkGap - Self.sinkWidth, y: band.top, width: Self.sinkWidth, height: bandHeight,
          color)
      }
      for column in 0..<layout.columns {
        for row in 0..<layout.rows {
          let color = grid[column, row].map { ColorRamp.color(Double($0) / scaleTop) } ?? Self.noTokens
          canvas.fill(
            x: plotLeft + column * columnWidth, y: band.top + row * rowHeight, width: columnWidth,
            height: rowHeight, color)
        }
      }
    }
  }

  /// Brackets over the sinks and the window, and a line through all bands where the window begins.
  func drawBrackets(on canvas: inout Canvas) {
    let bracketY = plotTop - 10
    func bracket(from left: Int, to right: Int) {
      canvas.fill(x: left, y: bracketY, width: max(2, right - left), height: 2, Self.mark)
      canvas.fill(x: left, y: bracketY, width: 2, height: 7, Self.mark)
      canvas.fill(x: max(left, right - 2), y: bracketY, width: 2, height: 7, Self.mark)
    }
    let textY = bracketY - BitmapFont.height * Self.scale - 2
    var sinksEnd = 0
    if showsSinks {
      let left = plotLeft - Self.sinkGap - Self.sinkWidth
      bracket(from: left, to: left + Self.sinkWidth)
      let text = "sinks \(map.sinks)"
      canvas.draw(text, x: left, y: textY, Self.mark)
      sinksEnd = left + BitmapFont.width(of: text, scale: Self.scale) + 12
    }
    let windowStart = map.tokens - map.window
    let positions = layout.positions
    guard map.window > 0, windowStart < positions.upperBound, !positions.isEmpty else { return }
    let left = x(of: max(windowStart, positions.lowerBound))
    let right = x(of: min(map.tokens, positions.upperBound))
    bracket(from: left, to: right)
    if windowStart > positions.lowerBound {
      canvas.fill(x: left - 1, y: bracketY, width: 1, height: bandsBottom - bracketY, Self.mark)
    }
    let text = "window \(map.window)"
    let textWidth = BitmapFont.width(of: text, scale: Self.scale)
    canvas.draw(text, x: max(sinksEnd, right - textWidth), y: textY, Self.mark)
  }

  /// Small triangles below the bands that point at positions.
  func drawMarks(_ marks: [Int], on canvas: inout Canvas) {
    for position in marks where layout.positions.contains(position) {
      for line in 0..<5 {
        canvas.fill(
          x: x(of: position) - line, y: bandsBottom + 1 + line, width: 2 * line + 1, height: 1, Self.mark)
      }
    }
  }

  func drawAxis(on canvas: inout Canvas) {
    let positions = layout.positions
    let y = bandsBottom + 7
    canvas.fill(x: plotLeft, y: y, width: plotWidth, height: 1, Self.ink)
    if !positions.isEmpty {
      let widest = BitmapFont.width(of: Numbers.grouped(positions.upperBound), scale: Self.scale) + 30
      let step = Numbers.tickStep(span: positions.count, parts: max(1, plotWidth / widest))
      var tick = (positions.lowerBound + step - 1) / step * step
      while tick <= positions.upperBound {
        let at = x(of: tick)
        canvas.fill(x: at, y: y, width: 1, height: 7, Self.ink)
        canvas.draw(Numbers.grouped(tick), x: at, y: y + 12, Self.ink, align: .center)
        tick += step
      }
    }
    canvas.draw(
      "position in the document (tokens)", x: plotLeft + plotWidth / 2, y: y + 12 + Self.lineHeight,
      Self.faintInk, align: .center)
  }

  func drawLegend(scaleTop: Double, on canvas: inout Canvas) {
    let y = height - Self.margin - 2 * Self.lineHeight
    let title = "tokens kept"
    canvas.draw(title, x: Self.margin, y: y, Self.ink)
    let left = Self.margin + BitmapFont.width(of: title, scale: Self.scale) + 24
    let zero = "0%"
    canvas.draw(zero, x: left, y: y, Self.ink)
    let barLeft = left + BitmapFont.width(of: zero, scale: Self.scale) + 10
    let barWidth = 256
    for x in 0..<barWidth {
      let color = ColorRamp.color(Double(x) / Double(barWidth - 1))
      canvas.fill(x: barLeft + x, y: y - 2, width: 1, height: 18, color)
    }
    let top = Numbers.fixed(scaleTop * 100, digits: scaleTop < 0.1 ? 1 : 0)
    canvas.draw(
      scaleTop < 1 ? "≥\(top)%" : "100%", x: barLeft + barWidth + 10, y: y, Self.ink)
    let keyLeft = barLeft + barWidth + 100
    canvas.fill(x: keyLeft, y: y - 2, width: 18, height: 18, Self.noTokens)
    canvas.draw("no tokens", x: keyLeft + 26, y: y, Self.ink)
    canvas.draw(Self.cellNote(layout), x: Self.margin, y: y + Self.lineHeight + 4, Self.faintInk)
  }
}

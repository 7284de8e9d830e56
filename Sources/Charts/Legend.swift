import Inspection

/// Samples of lines and marks with their names, in rows.
struct Legend {
  struct Entry {
    enum Sample {
      case line(Stroke)
      case lineAndDisc
      case disc
      case ring
      case bar
      case flag
    }
    let name: String
    let color: Color
    let sample: Sample
  }

  static let rowHeight = 15.0
  private static let sampleWidth = 20.0
  private static let style = TextStyle(size: 10, Ink.text)

  let entries: [Entry]

  init(_ entries: [Entry]) { self.entries = entries }

  init(_ chart: Chart) {
    var entries: [Entry] = []
    for series in chart.series {
      guard let name = series.name else { continue }
      let sample: Entry.Sample =
        switch series.style {
        case .line(let width, let opacity, let dash):
          .line(Stroke(series.color, width: width, opacity: opacity, dash: dash))
        case .lineAndDiscs: .lineAndDisc
        case .discs: series.points.contains { !$0.isDistinguished } ? .disc : .ring
        case .bars: .bar
        }
      entries.append(Entry(name: name, color: series.color, sample: sample))
    }
    var named: Set<String> = []
    for mark in chart.marks {
      guard let name = mark.name, named.insert(name).inserted else { continue }
      // Several series may have marks of one kind, each in its colour.
      let isShared = chart.marks.contains { $0.name == name && $0.color != mark.color }
      let color = isShared ? Palette.grey : mark.color
      let sample: Entry.Sample = mark.shape == .flag ? .flag : .line(Stroke(color, width: 0.8, dash: [3, 3]))
      entries.append(Entry(name: name, color: color, sample: sample))
    }
    self.entries = entries
  }

  private func width(of entry: Entry, _ plotter: some Plotter) -> Double {
    Self.sampleWidth + 5 + plotter.width(of: entry.name, Self.style) + 14
  }

  func width(_ plotter: some Plotter) -> Double {
    entries.reduce(0) { $0 + width(of: $1, plotter) }
  }

  /// The entries in rows of at most `room` units.
  func rows(within room: Double, _ plotter: some Plotter) -> [[Entry]] {
    var rows: [[Entry]] = []
    var left = 0.0
    for entry in entries {
      let width = width(of: entry, plotter)
      if rows.isEmpty || left + width > room {
        rows.append([])
        left = 0
      }
      rows[rows.count - 1].append(entry)
      left += width
    }
    return rows
  }

  /// Draws one row; `place` is where its text's baseline begins.
  func draw(_ row: [Entry], at place: Place, on plotter: inout some Plotter) {
    var left = place.x
    for entry in row {
      let middle = Place(left + Self.sampleWidth / 2, place.y - 3.5)
      let line = [Place(left, middle.y), Place(left + Self.sampleWidth, middle.y)]
      switch entry.sample {
      case .line(let stroke): plotter.line(line, stroke)
      case .lineAndDisc:
        plotter.line(line, Stroke(entry.color, width: 1.4))
        plotter.disc(middle, radius: 2.2, fill: entry.color, outline: entry.color)
      case .disc: plotter.disc(middle, radius: 2.2, fill: entry.color, outline: entry.color)
      case .ring: plotter.disc(middle, radius: 3.6, fill: .white, outline: entry.color)
      case .bar: plotter.fill(Frame(left: left + 6, top: place.y - 8, width: 9, height: 9), entry.color)
      case .flag: Chart.flag(at: Place(middle.x, middle.y + 3), entry.color, &plotter)
      }
      plotter.text(entry.name, at: Place(left + Self.sampleWidth + 5, place.y), Self.style)
      left += width(of: entry, plotter)
    }
  }
}

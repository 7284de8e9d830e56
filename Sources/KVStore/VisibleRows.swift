import LagKV

/// What one pass of attention looks at, in one layer.
struct VisibleRows {
  /// Rows of the kept stream.
  var kept: Int
  /// The kept rows are sinks among which the queries stand: row `i` is at position `i` and seen from there on.
  var keptIsCausal = false
  /// Partitions of the window, with how many of their rows.
  var window: [Window] = []

  struct Window {
    var partition: Int
    var rows: Int
    /// Queries stand in this partition and see rows up to their own position.
    var isCausal: Bool
  }

  /// Everything that the layer has at `tokens` tokens.
  static func all(_ plan: LayerPlan, tokens: Int) -> VisibleRows {
    VisibleRows(
      kept: plan.keptRows(tokens),
      window: plan.window(tokens).map {
        Window(partition: $0, rows: plan.rows(of: $0, at: tokens), isCausal: false)
      })
  }
}

extension LayerPlan {
  /// What queries of a segment see, its own rows included.
  func visible(_ segment: TokenGeometry.Segment) -> VisibleRows {
    switch segment {
    case .sinks(let positions):
      return VisibleRows(kept: positions.upperBound, keptIsCausal: true)
    case .partition(let p, let positions, _):
      var window: [VisibleRows.Window] = []
      if p > 0 { window.append(.init(partition: p - 1, rows: lag, isCausal: false)) }
      window.append(.init(partition: p, rows: positions.upperBound - partitionStart(p), isCausal: true))
      return VisibleRows(kept: sinks + kept * max(0, p - 1), window: window)
    }
  }
}

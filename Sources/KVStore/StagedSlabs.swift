/// Consecutive slabs in memory, of all head groups, that replace or follow those of the store.
struct StagedSlabs {
  let groups: Int
  /// The index of the first slab here.
  private(set) var first = 0
  /// Index by index, group by group.
  private(set) var slabs: [SlabBuffer] = []

  init(groups: Int) { self.groups = groups }

  var indices: Range<Int> { first..<first + slabs.count / groups }

  subscript(index: Int, group: Int) -> SlabBuffer? {
    let i = (index - first) * groups + group
    return index >= first && i < slabs.count ? slabs[i] : nil
  }

  /// Appends the slabs (one of each group) of the next index; any index where there are none.
  mutating func append(_ index: Int, _ buffers: [SlabBuffer]) {
    if slabs.isEmpty { first = index }
    assert(index == indices.upperBound && buffers.count == groups)
    slabs += buffers
  }

  /// Removes the slabs of indices below `index`.
  mutating func removeAll(below index: Int) {
    guard index > first else { return }
    let count = min(slabs.count, (index - first) * groups)
    slabs.removeFirst(count)
    first = index
  }
}

/// Compressed frames in memory that follow those of the store.
struct StagedFrames {
  /// The number of the first frame here.
  let first: Int
  var frames: [[UInt8]] = []

  init(first: Int) { self.first = first }

  subscript(number: Int) -> [UInt8]? {
    number >= first && number - first < frames.count ? frames[number - first] : nil
  }
}

/// What a staged tail holds of one layer. A value: a failed append puts the old one back. (Slabs are shared by the copies;
/// rows count only up to what `tokens` says, so what a failed append wrote behind them is nothing.)
struct StagedLayer {
  /// Committed and staged tokens.
  var tokens: Int
  var kept: StagedSlabs
  var window: StagedSlabs
  var blocks = StagedSlabs(groups: 1)
  var cold: StagedFrames
  var archive: StagedFrames

  init(base tokens: Int, plan: LayerPlan) {
    self.tokens = tokens
    kept = StagedSlabs(groups: plan.shape.groups)
    window = StagedSlabs(groups: plan.shape.groups)
    cold = StagedFrames(first: plan.scored(tokens))
    archive = StagedFrames(first: plan.scored(tokens))
  }

  func frames(_ kind: RowKind) -> StagedFrames { kind == .archive ? archive : cold }
}

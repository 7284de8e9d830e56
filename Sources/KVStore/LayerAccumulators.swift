import LagKV
import SparseAttention

/// The accumulators of one layer, and how much of them there is: blocks of the kept stream come when the walk back may add to
/// them, and go when their rows have been taken.
struct LayerAccumulators {
  let layout: GradientLayout
  private let plan: LayerPlan
  private let scratch: GradientScratch
  /// Where the layer begins in the scratch file.
  private let offset: Int
  /// Blocks that are there.
  private var reserved: Range<Int>
  /// The partition whose terms as kept rows have joined those of its window.
  var entered: Int?

  /// - Parameter offset: in bytes, whole pages.
  /// - Throws: `quotaExceeded`, `diskFull`.
  init(
    _ plan: LayerPlan, _ layout: GradientLayout, _ scratch: GradientScratch, offset: Int,
    detachedBefore: Int
  ) throws(StoreError) {
    self.plan = plan
    self.layout = layout
    self.scratch = scratch
    self.offset = offset
    reserved = layout.blocks..<layout.blocks
    try scratch.reserve(offset..<offset + layout.windowBytes)
    try makeRoom(detachedBefore: detachedBefore)
  }

  var base: UnsafeMutableRawPointer { scratch.base + offset }

  /// The first row of the kept stream that may be of a token from `position` on, of any head.
  private func firstRow(from position: Int) -> Int {
    if position <= plan.sinks { return min(position, layout.keptRows) }
    return min(plan.sinks + (position - plan.sinks) / plan.lag * plan.kept, layout.keptRows)
  }

  /// Sees to it that rows of tokens from `detachedBefore` on have a place, and that others take none.
  mutating func makeRoom(detachedBefore: Int) throws(StoreError) {
    let first = min(firstRow(from: detachedBefore) / layout.slots, reserved.upperBound)
    if first < reserved.lowerBound {
      try scratch.reserve(bytes(of: first..<reserved.lowerBound))
    } else if !scratch.release(bytes(of: reserved.lowerBound..<first)) {
      return
    }
    reserved = first..<reserved.upperBound
  }

  /// Lets the blocks go whose rows are all of the partition entered last, or of later ones.
  mutating func releaseTaken() {
    guard let entered else { return }
    let rows = min(plan.sinks + entered * plan.kept, layout.keptRows)
    let end = max((rows + layout.slots - 1) / layout.slots, reserved.lowerBound)
    guard end < reserved.upperBound, scratch.release(bytes(of: end..<reserved.upperBound)) else { return }
    reserved = reserved.lowerBound..<end
  }

  private func bytes(of blocks: Range<Int>) -> Range<Int> {
    let bytes = layout.bytes(of: blocks)
    return offset + bytes.lowerBound..<offset + bytes.upperBound
  }
}

extension SessionPlan {
  /// Most bytes that staging `capacity` tokens takes, wherever the session stands; nil: more than can be counted.
  func stagedBytes(capacity: Int) -> Int? {
    layers.reduce(CheckedSize(0)) { $0 + $1.stagedBytes(capacity: capacity) }.value
  }
}

extension LayerPlan {
  /// Window slabs: the rows of one append may all be there before the first partition is scored, beside two partitions.
  /// Kept slabs: sinks and selected rows, the partial base slab copied. Streams: frames, and the slabs made of them at
  /// commit.
  fileprivate func stagedBytes(capacity: Int) -> CheckedSize {
    let partitions = CheckedSize(capacity / lag) + CheckedSize(2)
    // Each partition rounds up to whole slabs.
    let windowSlabs = CheckedSize(capacity / shape.slots) + CheckedSize(1) + partitions
    let keptRows = CheckedSize(min(sinks, capacity)) + CheckedSize(kept) * partitions
    let keptSlabs =
      CheckedSize((codec == .raw ? keptRows.value ?? .max : min(sinks, capacity)) / shape.slots)
      + CheckedSize(2)
    var bytes = (windowSlabs + keptSlabs) * CheckedSize(shape.groups) * CheckedSize(SlabShape.storedBytes)
    if let blocks {
      // A slab holds one block or more, and at each end there may be one that others share.
      let count = CheckedSize(blocks.perPartition) * partitions
      let slabs = CheckedSize((count.value ?? .max) / blocks.perSlab) + CheckedSize(3)
      bytes = bytes + slabs * CheckedSize(SlabShape.storedBytes)
    }
    for rows in [hasColdFrames ? kept : 0, archive ? lag : 0] where rows > 0 {
      // At most 64 MiB of rows and their positions: no overflow.
      let content = FrameDecoder.contentBytes(shape, rows: rows)
      let frame = CheckedSize(FrameDirectory.padded(ZstdCompressor.bound(content)))
      bytes =
        bytes + frame * partitions * CheckedSize(2) + CheckedSize(2 * content + 2 * SlabShape.storedBytes)
    }
    return bytes
  }
}

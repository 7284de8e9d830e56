import ArgumentParser
import Foundation
import Kernels
import LagKV
import ModelToolSupport
import ToolSupport

struct Compress: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "LagKV's score, selection and gathering, beside the machine's memory-read bandwidth.",
    discussion: """
      8 KV heads × 128 in slabs as the store has them, lag 128, ratio 1/4, one thread, over more memory than the last cache holds.
      Every byte of the input is counted once, though a partition is read twice: as the reference, and when it is scored.
      """)

  @Option(help: "Element types: f32, bf16 or f16.")
  var dtype: [ElementType] = [.bfloat16, .float32]

  @Option(help: "Megabytes of keys and values.")
  var megabytes = 256

  @Option(help: "Passes over them, each followed by one of the ceiling.")
  var rounds = 7

  @OptionGroup var output: JSONOption
  @OptionGroup var server: ServeOption

  func validate() throws {
    guard rounds > 0, (1...16_384).contains(megabytes) else {
      throw ValidationError("--rounds must be positive and --megabytes in 1...16384")
    }
  }

  func run() throws {
    if server.serve, let type = dtype.first {
      let rows = try CompressedRows(type, bytes: megabytes << 20)
      return try server.answer { rows.compress() }
    }
    let alone = Ceiling.MemoryRead(bytes: 512 << 20, threads: 1)
    let figures = try dtype.map { type in
      let rows = try CompressedRows(type, bytes: megabytes << 20)
      var (rates, limits) = ([Double](), [Double]())
      for _ in 0..<rounds {
        rates.append(Double(rows.scoredBytes) / seconds { rows.compress() })
        limits.append(alone.measure())
      }
      return Figure(
        name: "compress \(type.name)", figure: rates.median / 1e9, ceiling: limits.median / 1e9, unit: "GB/s",
        ceilingIs: "memory read, 1 thread", target: .atLeast(0.5),
        details: ["tokens_per_second": rates.median / Double(rows.tokenBytes)])
    }
    try report(figures, json: output.json)
  }
}

/// Partitions in slabs, and room for what is kept of one.
private final class CompressedRows {
  private let shape = BenchShape()
  private let type: ElementType
  private let lag = 128
  private let kept = 32
  private let slots: Int
  private let partitions: Int
  private let memory: UnsafeMutableRawBufferPointer
  private let base: UnsafeRawPointer
  private let target: UnsafeMutableRawPointer
  private let policy = LagKVPolicy()

  init(_ type: ElementType, bytes: Int) throws {
    self.type = type
    slots = 65_536 / (2 * shape.kvHeads * shape.headDim * type.byteCount)
    partitions = bytes / (lag / slots * 65_536)
    memory = .allocate(byteCount: (partitions * (lag / slots) + 1) * 65_536, alignment: 4096)
    guard partitions > 1, let start = memory.baseAddress else {
      throw ToolError("\(bytes) bytes are fewer than two partitions")
    }
    var rows = SyntheticRows(seed: 23)
    base = UnsafeRawPointer(start)
    target = start + partitions * (lag / slots) * 65_536
    // One slab of distinct values, over and over, each time a little later in it: no two partitions are equal.
    let values = rows.tensor(type, tokens: 4 * slots, heads: shape.kvHeads, headDim: shape.headDim)
    values.withBytes { bytes in
      for slab in 0..<partitions * (lag / slots) {
        let offset = slab * 977 % (bytes.count - 65_536) / 4 * 4
        UnsafeMutableRawBufferPointer(start: start + slab * 65_536, count: 65_536)
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + 65_536]))
      }
    }
  }

  deinit { memory.deallocate() }

  var tokenBytes: Int { shape.bytes(tokens: 1, type) }
  /// Of a pass; the last partition is a reference only.
  var scoredBytes: Int { (partitions - 1) * lag * tokenBytes }

  func compress() {
    for partition in 0..<partitions - 1 {
      var reference = blocks(partition + 1, 0)
      for head in 0..<shape.kvHeads {
        let rows = blocks(partition, head)
        let isLast = head + 1 == shape.kvHeads
        let isEnd = isLast && partition + 2 == partitions
        let following = isEnd ? [] : isLast ? blocks(partition + 2, 0) : blocks(partition + 1, head + 1)
        let selected = policy.select(
          keep: kept, partition: rows, reference: reference, following: following,
          at: PartitionPlace(
            layer: 0, head: head, partition: partition, lag: lag, headDim: shape.headDim, elementType: type))
        gather(selected, rows)
        reference = following
      }
    }
  }

  private func blocks(_ partition: Int, _ head: Int) -> [RowBlock] {
    (0..<lag / slots).map { slab in
      let keys = base + (partition * (lag / slots) + slab) * 65_536 + head * slots * rowBytes
      return RowBlock(keys: keys, values: keys + shape.kvHeads * slots * rowBytes, count: slots)
    }
  }

  private var rowBytes: Int { shape.headDim * type.byteCount }

  private func gather(_ selected: [UInt32], _ blocks: [RowBlock]) {
    selected.withUnsafeBufferPointer { selected in
      var next = 0
      for (slab, block) in blocks.enumerated() {
        let first = UInt32(slab * slots)
        var end = next
        while end < selected.count, selected[end] < first + UInt32(slots) { end += 1 }
        let rows = UnsafeBufferPointer(rebasing: selected[next..<end])
        lagoon_gather_rows(
          block.keys, rowBytes, rows.baseAddress, rows.count, first, target + next * rowBytes)
        lagoon_gather_rows(
          block.values, rowBytes, rows.baseAddress, rows.count, first, target + (kept + next) * rowBytes)
        next = end
      }
    }
  }
}

import ArgumentParser
import Foundation

struct Memory: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "How fast pages of slabs are read in the orders in which attention could read them.",
    discussion: """
      Slabs of 17 pages, of which 16 hold the keys and values of 8 heads × 128, bf16: a page a head. Pages are summed, by all cores: head \
      after head through all slabs; slab after slab; and in windows of four and eight slabs, in each head after head, which is how few \
      queries read them. The ceiling reads the same memory in order.
      """)

  @Option(help: "Megabytes of slabs.")
  var megabytes = 256

  @Option(help: "Passes in each order.")
  var rounds = 9

  @OptionGroup var output: JSONOption

  func validate() throws {
    guard (16...65_536).contains(megabytes), rounds > 0 else {
      throw ValidationError("--megabytes is 16...65536 and --rounds positive")
    }
  }

  func run() throws {
    let threads = ProcessInfo.processInfo.activeProcessorCount
    let memory = Ceiling.MemoryRead(bytes: megabytes << 20, threads: threads)
    let slabs = (megabytes << 20) / (17 * 4096) / 8 * 8
    let orders: [(String, ([Int]) -> [Int])] = [
      ("head after head", { slabs in (0..<8).flatMap { head in Self.pages(slabs, head) } }),
      ("slab after slab", { slabs in slabs.flatMap { slab in (0..<8).flatMap { Self.pages([slab], $0) } } }),
      ("windows of 4 slabs", { Self.windows($0, 4) }), ("windows of 8 slabs", { Self.windows($0, 8) }),
    ]
    let places = orders.map { _, order in
      (0..<threads).map { thread in order(Array(slabs * thread / threads..<slabs * (thread + 1) / threads)) }
    }
    var rates = [[Double]](repeating: [], count: orders.count)
    var limits: [Double] = []
    for _ in 0..<rounds {
      limits.append(memory.measure())
      for i in orders.indices { rates[i].append(memory.measure(pages: places[i])) }
    }
    try report(
      orders.indices.map { i in
        Figure(
          name: "pages, \(orders[i].0)", figure: rates[i].median / 1e9, ceiling: limits.median / 1e9,
          unit: "GB/s",
          ceilingIs: "memory read, \(threads) threads")
      }, json: output.json)
  }

  /// A head's pages of keys in some slabs, then those of values.
  private static func pages(_ slabs: [Int], _ head: Int) -> [Int] {
    slabs.map { ($0 * 17 + 1 + head) * 4096 } + slabs.map { ($0 * 17 + 9 + head) * 4096 }
  }

  private static func windows(_ slabs: [Int], _ size: Int) -> [Int] {
    stride(from: 0, to: slabs.count, by: size).flatMap { first in
      let window = Array(slabs[first..<min(first + size, slabs.count)])
      return (0..<8).flatMap { pages(window, $0) }
    }
  }
}

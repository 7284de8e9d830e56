import Glibc
import Synchronization

/// The threads with which oneDNN multiplies, for the work between its products.
///
/// oneDNN's threads are OpenMP's. A second pool beside them would fight over the cores with threads that wait for the next
/// product, so the same threads are asked, by the entry that compilers call for a parallel region. Without it, or inside
/// of such a region, the caller works alone. What is computed never depends on who computes it.
package enum Team {
  private typealias Region = @convention(c) (UnsafeMutableRawPointer?) -> Void
  /// libgomp: a function, its argument, threads (0: as many as there are), flags.
  private typealias Fork = @Sendable @convention(c) (Region, UnsafeMutableRawPointer?, UInt32, UInt32) -> Void
  private typealias Size = @Sendable @convention(c) () -> Int32
  private typealias SetSize = @Sendable @convention(c) (Int32) -> Void

  private static let fork = function("GOMP_parallel", as: Fork.self)
  private static let maximum = function("omp_get_max_threads", as: Size.self)
  private static let setMaximum = function("omp_set_num_threads", as: SetSize.self)

  /// A function that is loaded with oneDNN.
  private static func function<Function>(_ name: String, as type: Function.Type) -> Function? {
    // The types are those of libgomp's and OpenMP's interfaces, which do not change.
    dlsym(nil, name).map { unsafeBitCast($0, to: type) }
  }

  /// The most threads that work at a time.
  package static var size: Int { fork == nil ? 1 : max(1, Int(maximum?() ?? 1)) }

  /// Calls `body` as if there were one thread: what oneDNN compiles in it is for one thread, and may run within ``run(_:_:)``.
  package static func alone<Result>(_ body: () throws(ModelError) -> Result) throws(ModelError) -> Result {
    guard let maximum, let setMaximum else { return try body() }
    let before = maximum()
    setMaximum(1)
    defer { setMaximum(before) }
    return try body()
  }

  /// Calls `body` for every item of `0..<items`, and returns when all are done. Earlier items begin earlier: long ones first.
  ///
  /// - Parameter body: gets the item and the participant, `0..<size`, of which no two run at the same time: an index for
  ///   scratch memory. Items run in any order and at the same time: they write to different memory.
  package static func run(_ items: Int, _ body: (_ item: Int, _ participant: Int) -> Void) {
    guard items > 1, let fork, size > 1 else {
      for item in 0..<items { body(item, 0) }
      return
    }
    withoutActuallyEscaping(body) { body in
      let work = Work(items: items, body: body)
      // The region ends before `fork` returns, and with it every use of the pointer.
      withExtendedLifetime(work) {
        let region: Region = { address in
          guard let address else { return }
          Unmanaged<Work>.fromOpaque(address).takeUnretainedValue().participate()
        }
        fork(region, Unmanaged.passUnretained(work).toOpaque(), 0, 0)
      }
    }
  }

  /// ``run(_:_:)`` of items that may fail.
  ///
  /// - Throws: what one of the failing items threw, when all are done.
  static func attempt(
    _ items: Int, _ body: (_ item: Int, _ participant: Int) throws(ModelError) -> Void
  ) throws(ModelError) {
    let failure = Mutex<ModelError?>(nil)
    run(items) { item, participant in
      do throws(ModelError) { try body(item, participant) } catch { failure.withLock { $0 = error } }
    }
    if let error = failure.withLock({ $0 }) { throw error }
  }

  /// Calls `body` for parts of `0..<count`, each of `grain` but the last: elements, 32,768 of which are worth a hand-over.
  package static func split(_ count: Int, grain: Int = 1 << 15, _ body: (Range<Int>) -> Void) {
    run((count + grain - 1) / grain) { item, _ in body(item * grain..<min((item + 1) * grain, count)) }
  }

  /// ``split(_:grain:_:)`` of rows of this many elements.
  static func split(rows: Int, of width: Int, _ body: (Range<Int>) -> Void) {
    split(rows, grain: max(1, (1 << 15) / max(1, width)), body)
  }

  /// One call's items.
  private final class Work {
    private let items: Int
    private let body: (Int, Int) -> Void
    private let participants = Atomic(0)
    private let next = Atomic(0)

    init(items: Int, body: @escaping (Int, Int) -> Void) {
      self.items = items
      self.body = body
    }

    func participate() {
      let participant = participants.wrappingAdd(1, ordering: .relaxed).oldValue
      while true {
        let item = next.wrappingAdd(1, ordering: .relaxed).oldValue
        if item >= items { return }
        body(item, participant)
      }
    }
  }
}

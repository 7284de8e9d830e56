/// Threads that share the work of large calls. The calling thread joins its own call's work, so a call makes
/// progress even when every helper is busy elsewhere.
///
/// Each thread that computes holds a permit, whether it is a helper or a caller, so a hundred connections don't fight over
/// the cores. There is one more than `threads`: where callers wait for each other, a core goes on with the one that has it
/// while another wakes up. Who computes which item never changes a result. Any number of threads may call at once; a body
/// must not call the pool it runs on.
public final class WorkerPool: Sendable {
  /// How many threads share one call's work, the caller included.
  public let threads: Int
  private let state: PoolState

  /// - Parameter threads: at least 1; `threads - 1` helpers are started. Fewer if the system refuses.
  public init(threads: Int = WorkerPool.coreCount) {
    precondition(threads >= 1)
    self.threads = threads
    state = PoolState(threads: threads)
    state.startHelpers(threads - 1)
  }

  deinit { state.close() }

  /// Cores that the system has online.
  public static var coreCount: Int { PoolState.onlineCores }

  /// Runs `body` for every item of `0..<items`, on this thread and the helpers, and returns when all are done.
  /// - Parameter body: gets the item and the participant, `0..<threads`, of which no two run at the same time
  ///   within one call: an index for scratch memory.
  public func run(_ items: Int, _ body: @Sendable (_ item: Int, _ participant: Int) -> Void) {
    state.run(items, body)
  }

  /// Runs a small body on this thread under a permit. Wakes no helper.
  public func runInline<Result>(_ body: () -> Result) -> Result {
    state.takePermit()
    defer { state.givePermit() }
    return body()
  }

  /// How many callers wait for a permit. For tests.
  package var waitingCallers: Int { state.waitingCallers }

  /// Ends and joins the helpers; a call under way is finished first. Later calls run on their own thread alone.
  /// Not to be called from a body.
  public func close() { state.close() }
}

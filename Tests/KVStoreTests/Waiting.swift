import Foundation
import Synchronization

enum Waiting {
  struct TimedOut: Error {}

  /// Waits, at most 20 seconds, until `condition` holds.
  static func until(_ condition: () throws -> Bool) throws {
    let deadline = Date().addingTimeInterval(20)
    while try !condition() {
      guard Date() < deadline else { throw TimedOut() }
      usleep(1000)
    }
  }
}

extension DispatchGroup {
  /// Runs `body` on a thread of its own. A queue's threads are as many as cores, and other tests may hold them for minutes.
  func thread(_ body: @escaping @Sendable () -> Void) {
    enter()
    Thread.detachNewThread {
      body()
      self.leave()
    }
  }
}

/// What went wrong on other threads.
final class Failures: Sendable {
  private let found = Mutex<[String]>([])
  func add(_ what: String) { found.withLock { $0.append(what) } }
  var all: [String] { found.withLock { $0 } }
}

final class Flag: Sendable {
  private let state = Atomic(false)
  func set() { state.store(true, ordering: .releasing) }
  var isSet: Bool { state.load(ordering: .acquiring) }
}

import Foundation
import Synchronization
import TestSupport

/// A thread that writes numbers, infinities and NaNs all over a piece of memory until it is stopped.
final class Scribbler: Sendable {
  private let stopping = Atomic<Bool>(false)
  private let stopped = DispatchSemaphore(value: 0)

  /// - Parameter memory: valid until ``stop()`` has returned.
  init(on memory: UnsafeMutableRawBufferPointer) {
    let start = Int(bitPattern: memory.baseAddress)
    let count = memory.count
    let thread = Thread { [self] in
      var generator = SeededGenerator(1)
      guard let base = UnsafeMutableRawPointer(bitPattern: start) else { return }
      while !stopping.load(ordering: .relaxed) {
        let bits = generator.next()
        let value: Float = bits % 64 == 0 ? .nan : bits % 64 == 1 ? .infinity : Float(bits % 1000) / 500 - 1
        for _ in 0..<64 {
          base.storeBytes(
            of: value, toByteOffset: Int(generator.next() % UInt64(count / 4)) * 4, as: Float.self)
        }
      }
      stopped.signal()
    }
    thread.start()
  }

  func stop() {
    stopping.store(true, ordering: .relaxed)
    stopped.wait()
  }
}

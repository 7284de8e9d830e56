import CPosix
import Glibc
import LagoonProtocol
import Synchronization

/// Memory shared with one client. Its size is sealed and every page allocated before the client gets it, so the daemon's
/// accesses cannot fault; its contents may change under the daemon at any time, which nothing here relies on.
final class Arena {
  let bytes: UnsafeMutableRawBufferPointer
  /// To be passed to the client.
  let descriptor: Descriptor
  private let budget: ArenaBudget

  /// - Throws: `TOO_LARGE`, `OVERLOADED` (the total cap, or no memory).
  init(bytes count: Int, daemon budget: ArenaBudget) throws(CallError) {
    guard budget.take(count) else {
      throw CallError(
        .overloaded,
        "an arena of \(count) bytes does not fit: \(budget.used) of \(budget.total) bytes are given to arenas"
      )
    }
    do throws(SystemError) {
      let number = try SystemError.check(lagoon_create_sealed_memory("lagoon-arena", UInt64(count)))
      let descriptor = Descriptor(owning: number)
      var address: UnsafeMutableRawPointer?
      _ = try SystemError.check(lagoon_map_shared(descriptor.number, UInt64(count), &address))
      self.descriptor = descriptor
      bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
      self.budget = budget
    } catch {
      budget.give(count)
      var failure = CallError(.overloaded, "an arena of \(count) bytes cannot be allocated: \(error)")
      failure.systemCode = error.code
      throw failure
    }
  }

  deinit {
    // The client may keep the descriptor; the pages are no longer the daemon's.
    lagoon_release_pages(descriptor.number, UInt64(bytes.count))
    lagoon_unmap(bytes.baseAddress, UInt64(bytes.count))
    budget.give(bytes.count)
  }
}

/// Counts the bytes of all arenas against their cap.
final class ArenaBudget: Sendable {
  let total: Int
  private let taken = Mutex(0)

  init(total: Int) { self.total = total }

  var used: Int { taken.withLock { $0 } }

  func take(_ bytes: Int) -> Bool {
    taken.withLock { taken in
      guard bytes <= total - taken else { return false }
      taken += bytes
      return true
    }
  }

  func give(_ bytes: Int) { taken.withLock { $0 -= bytes } }
}

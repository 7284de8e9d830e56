import Glibc
import Synchronization

/// The record that a session last read, with its bytes: as long as those are the same, it need not be decoded.
final class KnownRecord: Sendable {
  private struct State: Sendable {
    var bytes: [UInt8] = []
    var record: SessionRecord?
  }

  private let state = Mutex(State())

  /// The record, if `bytes` are those it was decoded from.
  func record(of bytes: UnsafeRawBufferPointer) -> SessionRecord? {
    state.withLock { state in
      let isSame = state.bytes.withUnsafeBytes {
        $0.count == bytes.count && bytes.count > 0
          && memcmp($0.baseAddress!, bytes.baseAddress!, bytes.count) == 0
      }
      return isSame ? state.record : nil
    }
  }

  func remember(_ record: SessionRecord, of bytes: UnsafeRawBufferPointer) {
    state.withLock { $0 = State(bytes: Array(bytes), record: record) }
  }
}

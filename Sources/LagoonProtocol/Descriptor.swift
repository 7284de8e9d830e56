import CPosix
import Glibc

/// An open file, socket or memory: closed when it ends.
package struct Descriptor: ~Copyable, Sendable {
  package let number: Int32

  /// Takes over a descriptor that nobody else will close.
  package init(owning number: Int32) {
    precondition(number >= 0)
    self.number = number
  }

  deinit { close(number) }
}

/// What a system call answered instead of succeeding.
package struct SystemError: Error, Sendable, Hashable, CustomStringConvertible {
  package let code: Int32

  package init(_ code: Int32) { self.code = code }

  package var description: String { "\(String(cString: strerror(code))) (errno \(code))" }

  /// The result of a call of CPosix: at least 0, or a negated errno.
  package static func check<Result: SignedInteger>(_ result: Result) throws(SystemError) -> Result {
    guard result >= 0 else { throw SystemError(Int32(-result)) }
    return result
  }
}

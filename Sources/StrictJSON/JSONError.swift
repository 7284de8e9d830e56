/// Why bytes are not the JSON that was expected, and where.
package struct JSONError: Error, Sendable, Hashable, CustomStringConvertible {
  package let message: String
  /// Where reading stopped, in bytes from the beginning.
  package let offset: Int

  package init(_ message: String, offset: Int) {
    self.message = message
    self.offset = offset
  }

  package var description: String { "\(message) (byte \(offset))" }
}

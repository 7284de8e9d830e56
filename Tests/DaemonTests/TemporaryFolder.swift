import Foundation
import Glibc

/// A folder that is removed when the last reference goes.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    var template = Array("/tmp/lagoon-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw POSIXError(.EIO) }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func callAsFunction(_ name: String) -> String { path + "/" + name }
}

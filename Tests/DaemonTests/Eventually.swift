import Foundation
import Testing

/// Waits up to `seconds` until `condition` holds.
func eventually(
  seconds: Double = 60, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool
) throws {
  let end = Date().addingTimeInterval(seconds)
  while try !condition() {
    if Date() > end {
      Issue.record("this did not come true within \(seconds) s", sourceLocation: sourceLocation)
      return
    }
    Thread.sleep(forTimeInterval: 0.005)
  }
}

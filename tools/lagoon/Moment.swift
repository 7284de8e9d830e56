import Foundation

/// A moment such as `2026-11-21T02:40:23Z`.
func moment(_ unixSeconds: Int) -> String {
  Date(timeIntervalSince1970: Double(unixSeconds)).formatted(.iso8601)
}

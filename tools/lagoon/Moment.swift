import Foundation

/// A moment such as `2026-11-21T02:40:23Z`; `-` for 0, which stands for never.
func moment(_ unixSeconds: Int) -> String {
  unixSeconds == 0 ? "-" : Date(timeIntervalSince1970: Double(unixSeconds)).formatted(.iso8601)
}

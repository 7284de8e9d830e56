import Foundation

/// Resident memory of this process.
public enum ResidentMemory {
  /// Bytes of `VmRSS` of /proc/self/status: anonymous memory and the pages of mapped files that are in memory. 0 where the
  /// system does not tell.
  public static var bytes: Int {
    guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return 0 }
    for line in text.split(separator: "\n") where line.hasPrefix("VmRSS:") {
      return (line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
    }
    return 0
  }
}

import Foundation

/// Resident memory of processes, as /proc tells it.
public enum ResidentMemory {
  /// Bytes of this process: anonymous memory and the pages of mapped files that are in memory. 0 where the system does not tell.
  public static var bytes: Int { sum(["VmRSS:"], of: "self") }

  /// Bytes of a process that cannot be given back to files: anonymous and shared. 0 when the process is gone.
  public static func unsharedBytes(of process: Int32) -> Int {
    sum(["RssAnon:", "RssShmem:"], of: String(process))
  }

  private static func sum(_ fields: [String], of process: String) -> Int {
    guard let text = try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8) else { return 0 }
    return text.split(separator: "\n").reduce(0) { sum, line in
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count > 1, fields.contains(String(words[0])) else { return sum }
      return sum + (Int(words[1]) ?? 0) * 1024
    }
  }
}

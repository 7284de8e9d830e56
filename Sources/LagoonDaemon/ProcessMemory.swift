import CPosix
import Glibc

/// This process's memory, as the kernel counts it.
public enum ProcessMemory {
  /// Keeps the memory of one write transaction from going back and forth between the process and the system: commits are
  /// faster, and the daemon's memory stays where the first commits took it. For a process that is nothing but a daemon,
  /// before it allocates much. What an attend works in, up to 2 MiB and some, stays too.
  public static func settle() { lagoon_keep_freed_memory(8 << 20, 4 << 20) }

  /// Bytes of resident anonymous memory (`RssAnon` of /proc/self/status): what the daemon allocated, without mapped files
  /// and arenas. 0 where the kernel does not say.
  static var residentAnonymousBytes: Int {
    guard let file = fopen("/proc/self/status", "re") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      guard text.hasPrefix("RssAnon:") else { continue }
      return (Int(text.filter(\.isNumber)) ?? 0) * 1024
    }
    return 0
  }
}

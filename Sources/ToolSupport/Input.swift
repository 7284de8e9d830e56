import Foundation

/// What a tool is given to read: files, and pipes such as those of a shell's `<(command)`, to their ends.
public enum Input {
  /// All bytes of a file; `-` is standard input.
  ///
  /// - Throws: naming the path, with what the system said.
  public static func source(_ path: String) throws(ToolError) -> [UInt8] {
    path == "-" ? try read(STDIN_FILENO, name(path)) : try file(path)
  }

  /// As `source`, of which there must be some.
  public static func text(_ path: String) throws(ToolError) -> [UInt8] {
    let bytes = try source(path)
    guard !bytes.isEmpty else { throw ToolError("\(name(path)) is empty") }
    return bytes
  }

  /// All bytes of a file.
  public static func file(_ path: String) throws(ToolError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure(path) }
    defer { close(descriptor) }
    return try read(descriptor, path)
  }

  private static func name(_ path: String) -> String { path == "-" ? "standard input" : path }

  private static func read(_ descriptor: Int32, _ name: String) throws(ToolError) -> [UInt8] {
    var bytes: [UInt8] = []
    var status = stat()
    if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
      bytes.reserveCapacity(Int(status.st_size))
    }
    var block = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = Glibc.read(descriptor, &block, block.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw failure(name)
      }
      if count == 0 { return bytes }
      bytes += block[..<count]
    }
  }

  private static func failure(_ name: String) -> ToolError {
    ToolError("cannot read \(name): \(String(cString: strerror(errno)))")
  }
}

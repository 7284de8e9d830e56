import DurableFiles
import Foundation

/// A folder that a command makes. Its files are written into a folder within and move up when all are there; whatever ends the
/// command before, its files are gone and all else is as it was.
public struct NewFolder: Sendable {
  private let path: String
  /// Whether the folder itself is this command's.
  private let isMade: Bool
  /// Where files are written.
  private let work: String

  /// Makes the folder, or takes an empty one, and fills it.
  ///
  /// - Parameter body: writes files, no folders, into the folder that it is given.
  /// - Throws: when anything but an empty folder stands at the path, or what `body` throws.
  public static func fill<Result>(_ path: String, _ body: (_ work: String) throws -> Result) throws -> Result
  {
    let folder = try NewFolder(path)
    let token = ExitCleanup.add { folder.discard() }
    defer {
      folder.discard()
      ExitCleanup.remove(token)
    }
    let result = try body(folder.work)
    try ExitCleanup.finishing(withinSeconds: 5) { try folder.moveUp() }
    return result
  }

  private init(_ path: String) throws {
    self.path = path
    isMade = try !Self.isEmptyFolder(path)
    if isMade { try Self.make(path) }
    work = "\(path)/.\(getpid())-\(UInt32.random(in: 0...UInt32.max)).tmp"
    guard mkdir(work, 0o700) == 0 else {
      let code = errno
      if isMade { rmdir(path) }
      throw ToolError("cannot make the folder \(work): \(String(cString: strerror(code)))")
    }
  }

  /// - Returns: false when nothing is there.
  private static func isEmptyFolder(_ path: String) throws(ToolError) -> Bool {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      if errno == ENOENT { return false }
      throw ToolError("cannot make the folder \(path): \(String(cString: strerror(errno)))")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw ToolError("\(path) is there already and is no folder; name a new folder")
    }
    guard try names(path).isEmpty else {
      throw ToolError("\(path) has files in it; name a new folder, or remove it first")
    }
    return true
  }

  private static func names(_ folder: String) throws(ToolError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    } catch {
      throw ToolError("cannot read the folder \(folder): \(error.localizedDescription)")
    }
  }

  private static func make(_ path: String) throws(ToolError) {
    do {
      let parent = URL(filePath: path).deletingLastPathComponent()
      try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
    } catch {
      throw ToolError("cannot make the folder of \(path): \(error.localizedDescription)")
    }
    guard mkdir(path, 0o777) == 0 else {
      throw ToolError("cannot make the folder \(path): \(String(cString: strerror(errno)))")
    }
  }

  private func moveUp() throws {
    guard try Self.names(path).count == 1 else {
      throw ToolError("somebody put files into \(path) meanwhile; name a new folder")
    }
    var moved: [String] = []
    for name in try Self.names(work) {
      guard rename("\(work)/\(name)", "\(path)/\(name)") == 0 else {
        let code = errno
        for name in moved { unlink("\(path)/\(name)") }
        throw ToolError("cannot move \(work)/\(name) to \(path): \(String(cString: strerror(code)))")
      }
      moved.append(name)
    }
    try AtomicFile.syncFolder(of: work)
    if isMade { try AtomicFile.syncFolder(of: path) }
  }

  /// Removes what is not finished. A folder that has become somebody's, or holds the result, is not empty and stays.
  private func discard() {
    try? FileManager.default.removeItem(atPath: work)
    if isMade { rmdir(path) }
  }
}

import Foundation

/// A file of a source, as it was when the corpus was opened.
package struct InputFile: Codable, Sendable, Hashable {
  enum Kind: Sendable { case text, records }

  let path: String
  /// Bytes.
  let size: Int
  /// Nanoseconds since 1970.
  let modified: Int

  /// What the name says; nil for files that are no text to train on.
  static func kind(ofPath path: String) -> Kind? {
    switch (path as NSString).pathExtension.lowercased() {
    case "txt": .text
    case "jsonl": .records
    default: nil
    }
  }
}

/// The files of a source, and how many others a folder has.
package struct SourceFiles: Sendable, Hashable {
  package private(set) var files: [InputFile] = []
  /// Files, links to folders and hidden entries that are not read.
  private(set) var ignored = 0

  /// Finds them: the file itself, or those in the folder and its folders, in the order of their names' bytes.
  ///
  /// - Throws: `missing`, `io` for what cannot be looked at, `malformed` for a file of another kind, `empty` for a folder
  ///   without any.
  package init(path: String) throws(DataError) {
    let status = try Self.status(path, followsLinks: true)
    switch status.st_mode & S_IFMT {
    case S_IFDIR:
      try add(folder: path)
      guard !files.isEmpty else {
        throw DataError(.empty, "a folder without any .txt or .jsonl file, of \(ignored) others", path: path)
      }
    case S_IFREG:
      guard InputFile.kind(ofPath: path) != nil else {
        throw DataError(
          .malformed, "the name must end in .txt (text) or .jsonl (a record a line)", path: path)
      }
      add(file: path, status)
    default:
      throw DataError(.malformed, "neither a file nor a folder; save what a pipe gives first", path: path)
    }
  }

  private mutating func add(folder: String) throws(DataError) {
    for name in try Self.names(inFolder: folder) {
      let path = folder.hasSuffix("/") ? folder + name : folder + "/" + name
      var status = try Self.status(path, followsLinks: false)
      let isLink = status.st_mode & S_IFMT == S_IFLNK
      if name.hasPrefix(".") || isLink && InputFile.kind(ofPath: path) == nil {
        ignored += 1
        continue
      }
      if isLink { status = try Self.status(path, followsLinks: true) }
      switch status.st_mode & S_IFMT {
      // A link to a folder may lead to where it is itself.
      case S_IFDIR where !isLink: try add(folder: path)
      case S_IFREG where InputFile.kind(ofPath: path) != nil: add(file: path, status)
      default: ignored += 1
      }
    }
  }

  private mutating func add(file path: String, _ status: stat) {
    files.append(InputFile(path: path, size: Int(status.st_size), modified: status.modifiedNanoseconds))
  }

  private static func names(inFolder folder: String) throws(DataError) -> [String] {
    guard let stream = opendir(folder) else {
      throw .system("cannot be listed", path: folder)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      // SAFETY: `d_name` is a string that ends in 0, and lives until the next call.
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    guard errno == 0 else { throw .system("cannot be listed", path: folder) }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  private static func status(_ path: String, followsLinks: Bool) throws(DataError) -> stat {
    var status = stat()
    guard (followsLinks ? stat(path, &status) : lstat(path, &status)) == 0 else {
      if errno == ENOENT || errno == ENOTDIR {
        throw DataError(.missing, "no such file or folder", path: path)
      }
      throw .system("cannot be looked at", path: path)
    }
    return status
  }
}

extension stat {
  var modifiedNanoseconds: Int { Int(st_mtim.tv_sec) &* 1_000_000_000 &+ Int(st_mtim.tv_nsec) }
}

extension DataError {
  /// What the operating system said last.
  static func system(_ what: String, path: String) -> DataError {
    DataError(.io, "\(what): \(String(cString: strerror(errno)))", path: path)
  }
}

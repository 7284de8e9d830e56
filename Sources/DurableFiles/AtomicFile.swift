import Foundation

/// A file that appears whole or not at all: written beside its place, synced, renamed over it, and the folder synced, so that
/// after a power cut the place has the old file or the new one.
///
/// A symbolic link at the path stays, and what it leads to is replaced. Into a FIFO or a character device the bytes are written
/// as they come. Anything else that is no regular file is refused.
package struct AtomicFile: ~Copyable {
  private let path: String
  /// The file that is written, and where it goes in the end; nil for what is written into as it stands.
  private let move: (temporary: String, place: String)?
  /// Negative once the file is closed.
  private var descriptor: Int32

  /// Begins a file; what stands at `path` stays until ``commit()``.
  package init(path: String) throws(FileError) {
    let move: (temporary: String, place: String)?
    let descriptor: Int32
    switch try Destination(path) {
    case .place(let place, let permissions):
      let temporary = "\(place).\(getpid())-\(UInt32.random(in: 0...UInt32.max)).tmp"
      move = (temporary, place)
      descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
      // Those of somebody else's file cannot always be had; the file is written all the same.
      if let permissions, descriptor >= 0 { fchmod(descriptor, permissions) }
    case .stream:
      move = nil
      descriptor = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC)
    }
    guard descriptor >= 0 else { throw .system("cannot write", path) }
    self.path = path
    self.move = move
    self.descriptor = descriptor
  }

  /// A file that was not committed leaves nothing behind.
  deinit {
    guard descriptor >= 0 else { return }
    close(descriptor)
    if let move { unlink(move.temporary) }
  }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var left = bytes[...]
    while let address = UnsafeRawBufferPointer(rebasing: left).baseAddress, !left.isEmpty {
      let written = Glibc.write(descriptor, address, left.count)
      if written < 0 {
        if errno == EINTR { continue }
        throw .system("cannot write", path)
      }
      left = left.dropFirst(written)
    }
  }

  package mutating func append(_ bytes: [UInt8]) throws(FileError) {
    try bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
      try append(UnsafeRawBufferPointer(bytes))
    }
  }

  /// Puts the file into its place.
  ///
  /// - Throws: then `path` is as it was and no temporary file stays behind, unless only the folder could not be synced.
  package consuming func commit() throws(FileError) {
    guard let move else { return }
    guard fsync(descriptor) == 0 else { throw .system("cannot sync", path) }
    guard rename(move.temporary, move.place) == 0 else {
      throw .system("cannot put it in its place", path)
    }
    close(descriptor)
    descriptor = -1
    try Self.syncFolder(of: move.place)
  }

  /// Writes a file.
  package static func write(_ data: Data, to path: String) throws(FileError) {
    var file = try AtomicFile(path: path)
    try file.append([UInt8](data))
    try file.commit()
  }

  /// Brings the folder of a file or folder that was made or renamed to the disk.
  package static func syncFolder(of path: String) throws(FileError) {
    let folder = (path as NSString).deletingLastPathComponent
    let folderDescriptor = open(folder.isEmpty ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard folderDescriptor >= 0 else { throw .system("cannot open the folder", path) }
    defer { close(folderDescriptor) }
    guard fsync(folderDescriptor) == 0 else { throw .system("cannot sync the folder", path) }
  }
}

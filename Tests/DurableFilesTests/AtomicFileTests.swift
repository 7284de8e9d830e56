import DurableFiles
import Foundation
import Testing

/// What stands at the path before decides how a file is written, and nothing but a regular file is ever replaced.
@Suite struct AtomicFileTests {
  private let files = FileManager.default

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = files.temporaryDirectory.path + "/lagoon-files-\(UUID().uuidString)"
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: folder) }
    try body(folder)
  }

  private func write(_ text: String, _ path: String) throws {
    try AtomicFile.write(Data(text.utf8), to: path)
  }

  private func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

  /// Type and permissions of what stands at the path, not behind it.
  private func mode(_ path: String) throws -> mode_t {
    var status = stat()
    try #require(lstat(path, &status) == 0)
    return status.st_mode
  }

  @Test func aFileIsReplacedAndKeepsItsPermissions() throws {
    try withFolder { folder in
      try write("new", folder + "/a")
      #expect(try text(folder + "/a") == "new")
      try #require(chmod(folder + "/a", 0o640) == 0)
      try write("newer", folder + "/a")
      #expect(try text(folder + "/a") == "newer")
      #expect(try mode(folder + "/a") & 0o777 == 0o640)
      #expect(try files.contentsOfDirectory(atPath: folder) == ["a"])
    }
  }

  @Test func linksStayAndWhatTheyLeadToIsWritten() throws {
    try withFolder { folder in
      try files.createDirectory(atPath: folder + "/sub", withIntermediateDirectories: true)
      try files.createSymbolicLink(atPath: folder + "/first", withDestinationPath: "sub/second")
      try files.createSymbolicLink(atPath: folder + "/sub/second", withDestinationPath: "../target")
      // Nothing is there at first.
      for content in ["new", "newer"] {
        try write(content, folder + "/first")
        #expect(try text(folder + "/target") == content)
      }
      #expect(try mode(folder + "/first") & S_IFMT == S_IFLNK)
      #expect(try mode(folder + "/sub/second") & S_IFMT == S_IFLNK)
      #expect(try files.contentsOfDirectory(atPath: folder).sorted() == ["first", "sub", "target"])

      try files.createSymbolicLink(atPath: folder + "/round", withDestinationPath: "round")
      let error = #expect(throws: FileError.self) { try write("new", folder + "/round") }
      #expect(error?.systemCode == ELOOP)
    }
  }

  @Test func bytesGoIntoAPipe() throws {
    try withFolder { folder in
      let path = folder + "/pipe"
      try #require(mkfifo(path, 0o600) == 0)
      let reader = open(path, O_RDONLY | O_NONBLOCK)
      try #require(reader >= 0)
      defer { close(reader) }
      try write("through", path)
      #expect(FileHandle(fileDescriptor: reader).readDataToEndOfFile() == Data("through".utf8))
      #expect(try mode(path) & S_IFMT == S_IFIFO)
    }
  }

  @Test func whatIsNoFileIsRefused() throws {
    try withFolder { folder in
      let directory = #expect(throws: FileError.self) { try write("new", folder) }
      #expect(directory?.description == "\(folder): is a folder; name a file")

      let path = folder + "/socket"
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
      let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(descriptor) }
      let bound = withUnsafePointer(to: address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      try #require(bound == 0)
      let error = #expect(throws: FileError.self) { try write("new", path) }
      #expect(error?.message.contains("is a socket") == true)
      #expect(try mode(path) & S_IFMT == S_IFSOCK)
    }
  }

  @Test func whatIsNotCommittedLeavesNothing() throws {
    try withFolder { folder in
      try write("old", folder + "/target")
      try files.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "target")
      func abandon() throws {
        var file = try AtomicFile(path: folder + "/link")
        try file.append([1, 2, 3])
      }
      try abandon()
      #expect(try text(folder + "/link") == "old")
      #expect(try files.contentsOfDirectory(atPath: folder).sorted() == ["link", "target"])
      let nowhere = #expect(throws: FileError.self) { try write("new", folder + "/none/a") }
      #expect(nowhere?.systemCode == ENOENT && nowhere?.path == folder + "/none/a")
    }
  }
}

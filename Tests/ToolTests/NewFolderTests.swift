import Foundation
import Testing
import ToolSupport

@Suite struct NewFolderTests {
  private let files = FileManager.default

  private struct Failure: Error {}

  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = files.temporaryDirectory.path + "/lagoon-new-\(UUID().uuidString)"
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: folder) }
    try body(folder)
  }

  private func write(_ folder: String, _ names: String...) throws {
    for name in names { try Data(name.utf8).write(to: URL(filePath: "\(folder)/\(name)")) }
  }

  @Test(arguments: ["new", "deep/er/new", "empty"])
  func filesAppearWhenAllAreThere(_ name: String) throws {
    try withFolder { folder in
      try files.createDirectory(atPath: folder + "/empty", withIntermediateDirectories: true)
      let path = "\(folder)/\(name)"
      let count = try NewFolder.fill(path) { work in
        try write(work, "b", "a")
        #expect(!files.fileExists(atPath: path + "/a"))
        return 2
      }
      #expect(count == 2)
      #expect(try files.contentsOfDirectory(atPath: path).sorted() == ["a", "b"])
    }
  }

  @Test func aFailureRemovesItsOwnFilesAlone() throws {
    try withFolder { folder in
      try files.createDirectory(atPath: folder + "/empty", withIntermediateDirectories: true)
      for path in ["new", "empty"].map({ "\(folder)/\($0)" }) {
        #expect(throws: Failure.self) {
          try NewFolder.fill(path) { work in
            try write(work, "a")
            throw Failure()
          }
        }
      }
      #expect(try files.contentsOfDirectory(atPath: folder) == ["empty"])
      #expect(try files.contentsOfDirectory(atPath: folder + "/empty").isEmpty)

      let shared = folder + "/shared"
      let error = #expect(throws: ToolError.self) {
        try NewFolder.fill(shared) { work in
          try write(work, "a")
          try write(shared, "a")
        }
      }
      #expect(error?.message.contains("meanwhile") == true)
      #expect(try files.contentsOfDirectory(atPath: shared) == ["a"])
    }
  }

  @Test func whatIsThereIsRefused() throws {
    try withFolder { folder in
      try write(folder, "file")
      try files.createSymbolicLink(atPath: folder + "/link", withDestinationPath: "file")
      for path in [folder, folder + "/file", folder + "/link", folder + "/file/new"] {
        let error = #expect(throws: ToolError.self) {
          try NewFolder.fill(path) { _ in Issue.record("begun") }
        }
        #expect(error?.message.contains(path) == true)
      }
      #expect(try files.contentsOfDirectory(atPath: folder).sorted() == ["file", "link"])
    }
  }
}

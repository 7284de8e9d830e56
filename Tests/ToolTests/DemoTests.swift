import Foundation
import Testing

/// `lagoon-demo` on a short document, as `make demo` runs it.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/bible"), "needs bible-kjv"))
struct DemoTests {
  /// A folder for everything that the demo makes, temporary files included.
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.path + "/ld-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: folder + "/tmp", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  /// Processes whose command line names the folder.
  private func processes(naming folder: String) -> [String] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.filter { name in
      guard Int(name) != nil, let line = FileManager.default.contents(atPath: "/proc/\(name)/cmdline") else {
        return false
      }
      return String(decoding: line, as: UTF8.self).contains(folder)
    }
  }

  @Test func theDemoRunsAndCleansUp() throws {
    try withFolder { folder in
      let demo = try Program.run(
        "lagoon-demo", ["--length", "4096", "--output", folder + "/out"],
        environment: ["TMPDIR": folder + "/tmp"], folder: Program.root)
      #expect(demo.status == 0, "\(demo.errors)")
      let lines = demo.output.split(separator: "\n").map { $0.drop { $0 == " " } }
      for session in ["full", "2x", "4x", "8x"] {
        let cells = lines.first { $0.hasPrefix(session) && $0.contains("of 16") }?.split(separator: " ")
        #expect(cells?[1] == "4,096")
      }
      #expect(demo.output.contains("equal, byte for byte"))
      // The README shows its steps as they are called.
      let readme = try String(contentsOfFile: Program.root + "/README.md", encoding: .utf8)
      let steps = readme.split(separator: "\n").filter { $0.contains(#/^[1-7]\/7 /#) }
      #expect(!steps.isEmpty)
      for step in steps { #expect(demo.output.contains(step), "\(step)") }
      let picture = try Data(contentsOf: URL(filePath: folder + "/out/kept-4x.png"))
      #expect(picture.starts(with: [0x89, 0x50, 0x4e, 0x47]))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/tmp").isEmpty)
      #expect(processes(naming: folder + "/tmp").isEmpty)
    }
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func anInterruptedDemoCleansUp(signal: Int32) throws {
    try withFolder { folder in
      try expectCleanEnd("lagoon-demo", ["--length", "65536", "--output", folder + "/out"], signal, folder)
    }
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func anInterruptedBenchmarkCleansUp(signal: Int32) throws {
    try withFolder { folder in
      let arguments = ["decode", "--layers", "2", "--tokens", "256", "--writing", "160000000"]
      try expectCleanEnd("lagoon-bench", arguments, signal, folder)
    }
  }

  /// Interrupts a tool that works with a daemon of its own, and expects that nothing of it is left in `folder`'s `tmp`.
  private func expectCleanEnd(_ name: String, _ arguments: [String], _ signal: Int32, _ folder: String) throws
  {
    let tool = try Program.prepare(
      name, arguments, environment: ["TMPDIR": folder + "/tmp"], folder: Program.root)
    tool.standardOutput = FileHandle.nullDevice
    let errors = folder + "/errors"
    try Data().write(to: URL(filePath: errors))
    tool.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
    try tool.run()
    let deadline = ContinuousClock.now + .seconds(60)
    // Rows have been committed: the tool is in the middle of its work.
    func hasRows() -> Bool {
      let folders = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/tmp")) ?? []
      return folders.contains {
        let attributes = try? FileManager.default.attributesOfItem(
          atPath: "\(folder)/tmp/\($0)/store/data.mdb")
        return (attributes?[.size] as? Int ?? 0) > 1_000_000
      }
    }
    while !hasRows(), ContinuousClock.now < deadline { usleep(10_000) }
    #expect(hasRows())
    #expect(tool.isRunning)
    kill(tool.processIdentifier, signal)
    tool.waitUntilExit()
    #expect(tool.terminationStatus == 128 + signal)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder + "/tmp").isEmpty)
    #expect(processes(naming: folder + "/tmp").isEmpty)
    // What failed because of the signal is nobody's error. (A sanitizer's report may name types of errors.)
    let lines = try String(contentsOfFile: errors, encoding: .utf8).split(separator: "\n")
    #expect(!lines.contains { $0.hasPrefix("Error") })
  }

  @Test func impossibleLengthsAreRefused() throws {
    #expect(try Program.run("lagoon-demo", ["--length", "100"]).status == 64)
    #expect(try Program.run("lagoon-demo", ["--length", "65537"]).status == 64)
    let model = try Program.run("lagoon-demo", ["--model", "/nowhere"])
    #expect(model.status == 1 && model.errors.contains("/nowhere"))
  }
}

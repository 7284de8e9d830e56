import Foundation
import LagoonClient
import Safetensors
import Testing
import ToolSupport

/// `lagoon-train gradients` through a real daemon, on the repository's model and 850 bytes of the King James Bible.
@Suite struct GradientsTests {
  /// What an independent implementation found in one masked full pass in f64, autograd, selection constant: the loss, and of each
  /// gradient the L2 norm and the projection onto `direction`.
  private struct Reference: Decodable {
    struct Figures: Decodable {
      var norm: Double
      var projection: Double
    }
    var offset: Int
    var bytes: Int
    var sinks: Int
    var lag: Int
    var ratio: Double
    /// With gradients cut off this many chunks back; absent where they are whole.
    var bptt: Int?
    var chunk: Int?
    var loss: Double
    var gradients: [String: Figures]
  }

  /// A fixed direction without structure, -1...1.
  private func direction(_ index: Int) -> Double {
    Double(UInt32(truncatingIfNeeded: index &* 2_654_435_761)) / 0x1p31 - 1
  }

  private func withTokens(
    _ name: String = "kjv-tiny-gradients", _ body: (Reference, String, String) throws -> Void
  ) throws {
    let reference = try JSONDecoder().decode(
      Reference.self,
      from: Data(contentsOf: URL(filePath: Program.root + "/Tests/Fixtures/training/\(name).json")))
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-gradients-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let shell = Process()
    shell.executableURL = URL(filePath: "/bin/sh")
    shell.arguments = [
      "-c",
      "bible -f 'gen1:1-rev22:21' | sed -E 's/^[^ ]+ //' | tail -c +\(reference.offset + 1) | "
        + "head -c \(reference.bytes) > '\(folder)/text'",
    ]
    try shell.run()
    shell.waitUntilExit()
    let text = try Data(contentsOf: URL(filePath: folder + "/text"))
    try #require(text.count == reference.bytes)
    try JSONEncoder().encode(text.map { Int($0) }).write(to: URL(filePath: folder + "/ids.json"))
    try body(reference, folder + "/ids.json", folder)
  }

  /// Chunks that straddle partitions, that end with them, and the whole document: the gradients are the masked pass's.
  @Test(
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/bible"), "needs bible-kjv"),
    arguments: [50, 64, 1024])
  func areTheMaskedPasses(_ chunk: Int) throws {
    try withTokens { reference, ids, folder in try compare(reference, ids, folder, ["--chunk", "\(chunk)"]) }
  }

  /// Gradients that stop some chunks back are those of a pass in which queries see the rows before them detached
  /// (`tools/compare/lrsa_masked.py`).
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/bible"), "needs bible-kjv"))
  func truncatedOnesAreTheDetachedPasses() throws {
    try withTokens("kjv-tiny-bptt") { reference, ids, folder in
      let (bptt, chunk) = (try #require(reference.bptt), try #require(reference.chunk))
      try compare(reference, ids, folder, ["--chunk", "\(chunk)", "--bptt", "\(bptt)"])
    }
  }

  private func compare(_ reference: Reference, _ ids: String, _ folder: String, _ options: [String]) throws {
    let output = folder + "/gradients.safetensors"
    let run = try Program.run(
      "lagoon-train",
      [
        "gradients", Program.root + "/data/kjv-tiny", "--tokens", ids, "-o", output, "--sinks",
        "\(reference.sinks)", "--lag", "\(reference.lag)", "--ratio", "\(reference.ratio)", "--json",
      ] + options)
    try #require(run.status == 0, "\(run.errors)")
    let report = try #require(JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
    #expect(abs((report["loss"] as? Double ?? 0) - reference.loss) < 1e-5)
    let file = try SafetensorsFile(path: output)
    #expect(Set(file.names) == Set(reference.gradients.keys).union(["loss"]))
    for (name, expected) in reference.gradients {
      let gradient = try file.floats(name)
      var (square, projection) = (0.0, 0.0)
      for (index, value) in gradient.enumerated() {
        square += Double(value) * Double(value)
        projection += Double(value) * direction(index)
      }
      #expect(abs(square.squareRoot() - expected.norm) < 1e-4 * expected.norm, "\(name)")
      // A difference of relative size 1e-4 in a random place projects by its length times 1/√3.
      #expect(abs(projection - expected.projection) < 1e-4 * expected.norm, "\(name)")
    }
  }

  /// The selection is in the gradient: with everything kept it is another one.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/bible"), "needs bible-kjv"))
  func theRatioShows() throws {
    try withTokens { reference, ids, folder in
      let output = folder + "/gradients.safetensors"
      let run = try Program.run(
        "lagoon-train",
        ["gradients", Program.root + "/data/kjv-tiny", "--tokens", ids, "-o", output, "--policy", "full"])
      try #require(run.status == 0, "\(run.errors)")
      let name = "model.layers.2.self_attn.k_proj.weight"
      let norm = try SafetensorsFile(path: output).floats(name).reduce(0.0) { $0 + Double($1) * Double($1) }
        .squareRoot()
      let expected = try #require(reference.gradients[name]).norm
      #expect(abs(norm - expected) > 1e-3 * expected)
    }
  }

  /// Its session is marked as ephemeral while it runs, and gone when it is killed.
  @Test func aKilledRunLeavesNoSession() throws {
    let daemon = try PrivateDaemon()
    let connection = try LagoonConnection(socketPath: daemon.socketPath)
    let folder = FileManager.default.temporaryDirectory.path + "/lagoon-killed-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try JSONEncoder().encode((0..<60_000).map { $0 % 251 }).write(to: URL(filePath: folder + "/ids.json"))
    let run = try Program.prepare(
      "lagoon-train",
      [
        "gradients", Program.root + "/data/kjv-tiny", "--tokens", folder + "/ids.json", "--chunk", "64",
        "--socket", daemon.socketPath, "-o", folder + "/out",
      ])
    run.standardError = FileHandle.nullDevice
    try run.run()
    defer { if run.isRunning { kill(run.processIdentifier, SIGKILL) } }
    func until(_ condition: () throws -> Bool) throws {
      let deadline = ContinuousClock.now + .seconds(20)
      while try !condition() {
        try #require(ContinuousClock.now < deadline && (run.isRunning || run.terminationReason != .exit))
        usleep(5_000)
      }
    }
    try until { try connection.listSessions().contains { $0.tokens > 0 } }
    let session = try #require(try connection.listSessions().first)
    #expect(session.parameters.ephemeral)
    let list = try Program.run("lagoon", ["list", "--socket", daemon.socketPath])
    #expect(list.output.contains("ephemeral, being written"))
    let show = try Program.run("lagoon", ["show", session.name, "--socket", daemon.socketPath])
    #expect(show.output.contains("\nephemeral  gone with"))
    kill(run.processIdentifier, SIGKILL)
    run.waitUntilExit()
    try until { try connection.listSessions().isEmpty }
    daemon.stop()
  }

  @Test func mistakesAreSaidPlainly() throws {
    let model = Program.root + "/data/kjv-tiny"
    let missing = try Program.run(
      "lagoon-train", ["gradients", model, "--tokens", "/nowhere", "-o", "/tmp/x"])
    #expect(missing.status == 1 && missing.errors.contains("/nowhere"))
    let empty = try Program.run("lagoon-train", ["gradients", model, "--tokens", "-", "-o", "/tmp/x"])
    #expect(empty.status == 1 && empty.errors.contains("standard input is empty"))
    #expect(try Program.run("lagoon-train", ["gradients", model, "--tokens", "-"]).status == 64)
  }
}

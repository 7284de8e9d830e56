import ArgumentParser
import Foundation
import LagoonClient
import ToolSupport
import Transformer

/// The demo's steps.
struct Demo {
  static let followingBytes = 2048
  static let continuationBytes = 160

  private let options: LagoonDemo
  private let clock = ContinuousClock.now

  init(_ options: LagoonDemo) { self.options = options }

  func run() throws {
    var narrator = Narrator(steps: 7)
    let bin = (try PrivateDaemon.findExecutable("lagoond") as NSString).deletingLastPathComponent
    let model = try DecoderModel(folder: options.model)

    try narrator.announce(
      "Take \(Units.count(options.length)) bytes of a book that the model has not seen, and plant "
        + "\(PlantedDocument.numberCount) numbers in it",
      command: "\(KingJamesBible.command) | tail -c +\(KingJamesBible.heldOutStart + 1)")
    let heldOut = try KingJamesBible.heldOut()
    let document = try PlantedDocument(book: heldOut[...], length: options.length, seed: options.seed)
    let following = Array(heldOut[document.bookBytes...].prefix(Self.followingBytes))
    try narrator.say(
      """
      \(Units.count(document.text.count)) bytes: \(Units.count(document.bookBytes)) of the King James Bible and \
      \(document.numbers.count) numbers: "\(excerpt(document))"
      """)

    var daemonOptions = PrivateDaemon.Options()
    daemonOptions.durability = "ordered"
    daemonOptions.store = options.keep.map { $0 + "/store" }
    if let keep = options.keep {
      try FileManager.default.createDirectory(atPath: keep, withIntermediateDirectories: true)
      try Data(document.text).write(to: URL(filePath: keep + "/document.txt"))
    }
    let daemon = try PrivateDaemon(daemonOptions)
    defer { daemon.stop() }
    let shell = Shell(bin: bin, socketPath: daemon.socketPath)

    try narrator.announce(
      "Read it with the model into four sessions of one daemon, compressed while it streams in",
      command: "lagoon-lm ingest \(options.model) --text document.txt --session 4x --sinks \(Reader.sinks) "
        + "--lag \(Reader.lag) --ratio 0.25 --socket $SOCKET")
    var rows = try ingest(document, Reader(model: model, socketPath: daemon.socketPath), narrator)

    try narrator.announce("Ask each session for each number at the end of the document")
    let first = document.numbers[0]
    try narrator.say("given \"\(first.question)\" the model should answer \"\(first.answer)\"")
    let reader = try Reader(model: model, socketPath: daemon.socketPath)
    for index in rows.indices { try rows[index].recall(document.numbers, reader) }

    try narrator.announce(
      "Measure how well each session predicts the \(Units.count(following.count)) bytes that follow in the book"
    )
    for index in rows.indices { try rows[index].measure(following, reader) }
    try narrator.say("\n" + ResultRow.table(rows))
    try narrator.say(
      "recalled (+) or not (-), in the order of the document:\n" + ResultRow.recallLines(rows))

    try narrator.announce(
      "Continue the text from session 4x, kill the daemon, start it again, and continue again",
      command: "kill -9 \(daemon.processIdentifier ?? 0)")
    let survived = try survive(daemon, reader, document, following, narrator)

    let picture = options.output + "/kept-4x.png"
    try narrator.announce(
      "Draw what session 4x keeps", command: "lagoon heatmap 4x --layer all -o \(picture) --socket $SOCKET")
    try FileManager.default.createDirectory(atPath: options.output, withIntermediateDirectories: true)
    let marks = document.numbers.flatMap { ["--mark", String($0.position)] }
    try shell.run("lagoon", ["heatmap", "4x", "--layer", "all", "-o", picture] + marks)
    try narrator.say("\(picture): a band for each KV head; the triangles point at the planted numbers")

    try narrator.announce("Stop the daemon and clean up")
    daemon.stop()
    if let keep = options.keep { try narrator.say("kept: lagoon list --store \(keep)/store") }
    try narrator.say("\(Units.seconds((ContinuousClock.now - clock).inSeconds)) in all")
    guard survived else {
      Output.note("The continuations differ: the session did not survive kill -9 as it was.")
      throw ExitCode.failure
    }
  }

  /// The first planted number with the words around it, in one line.
  private func excerpt(_ document: PlantedDocument) -> String {
    let at = document.numbers[0].position
    let words = oneLine(document.text[max(0, at - 40)..<min(document.text.count, at + 50)])
      .split(separator: " ").dropFirst().dropLast()
    return "… " + words.joined(separator: " ") + " …"
  }

  private func oneLine(_ text: ArraySlice<UInt8>) -> String {
    String(decoding: text, as: UTF8.self).replacingOccurrences(of: "\n", with: " ")
  }

  private func ingest(_ document: PlantedDocument, _ reader: Reader, _ narrator: Narrator) throws
    -> [ResultRow]
  {
    try SessionPlan.all.map { plan in
      let seconds = try reader.ingest(document.text, into: plan)
      let rate = Units.rate(Double(document.text.count) / seconds, "tokens")
      try narrator.say(
        plan.name.padding(toLength: 4, withPad: " ", startingAt: 0)
          + "  \(Units.count(document.text.count)) tokens in \(Units.seconds(seconds)), \(rate)")
      return ResultRow(plan: plan)
    }
  }

  /// - Returns: whether the continuation after `kill -9` equals the one before.
  private func survive(
    _ daemon: PrivateDaemon, _ reader: Reader, _ document: PlantedDocument, _ following: [UInt8],
    _ narrator: Narrator
  ) throws -> Bool {
    // The rest of the sentence in which the document breaks off leads in.
    let lead = Array(following.prefix { $0 != UInt8(ascii: "\n") }.prefix(400)) + [UInt8(ascii: "\n")]
    let before = try reader.continuation(of: "4x", prompt: lead, count: Self.continuationBytes)
    let killed = daemon.processIdentifier ?? 0
    daemon.kill()
    try daemon.start()
    let again = try Reader(model: reader.model, socketPath: daemon.socketPath)
    let after = try again.continuation(of: "4x", prompt: lead, count: Self.continuationBytes)
    let committed = try again.connection.stats().committedTokens
    try narrator.say(
      """
      the document ends: "…\(oneLine(document.text.suffix(50)))"
      the model is given the rest of the line: "\(oneLine(lead.dropLast()))"
      and continues, before the kill (process \(killed)):
      \(indented(before))
      and after it (process \(daemon.processIdentifier ?? 0), \(committed) tokens committed since its start):
      \(indented(after))
      \(before == after ? "equal, byte for byte" : "DIFFERENT")
      """)
    return before == after
  }

  private func indented(_ text: [UInt8]) -> String {
    "  " + String(decoding: text, as: UTF8.self).replacingOccurrences(of: "\n", with: "\n  ")
  }
}

/// Other executables of the project.
private struct Shell {
  let bin: String
  let socketPath: String

  func run(_ program: String, _ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(filePath: bin + "/" + program)
    process.arguments = arguments + ["--socket", socketPath]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw ToolError("\(program) \(arguments[0]) failed with code \(process.terminationStatus)")
    }
  }
}

import Foundation
import LagoonClient
import Testing

/// docs/client.md shows a program of twenty lines; this is it, compiled and run.
@Suite struct ExampleTests {
  @Test func exampleRuns() throws {
    let daemon = try LocalDaemon()
    let path = daemon.socketPath
    var printed: [String] = []
    func print(_ items: Any...) { printed.append(items.map { "\($0)" }.joined(separator: " ")) }

    // example begins
    let connection = try LagoonConnection(socketPath: path)
    let session = try connection.createSession(
      SessionParameters(name: "genesis", layers: 1, kvHeads: 2, headDim: 64, sinks: 4, lag: 16, ratio: 0.25))

    func rows(heads: Int) -> HostTensor {  // a model's queries, keys and values would be here
      let floats = (0..<100 * heads * 64).map { _ in Float.random(in: -1...1) }
      return HostTensor(floats: floats, tokens: 100, heads: heads, headDim: 64)
    }
    try session.begin(capacity: 100)
    let attention = try session.step(
      layer: 0, queries: rows(heads: 8), keys: rows(heads: 2), values: rows(heads: 2))
    try session.commit(tokenIDs: Array(0..<100))
    print("attention of 100 tokens:", attention.out.count, "floats")
    print("kept", try session.fetch(layer: 0, positionsOnly: true).totalRows, "rows of", session.info.tokens)

    // Next week, in another process: no prefill.
    let again = try connection.openSession("genesis")
    let question = HostTensor(
      floats: [Float](repeating: 0.1, count: 8 * 64), tokens: 1, heads: 8, headDim: 64)
    let answer = try again.attend(layer: 0, queries: question)
    print("an answer from", answer.tokens, "tokens:", answer.out.count, "floats")
    // example ends

    // 4 sinks, then six partitions of 16: five scored, of which 4 rows each stay, and the last one whole.
    #expect(
      printed == [
        "attention of 100 tokens: 51200 floats", "kept 40 rows of 100",
        "an answer from 100 tokens: 512 floats",
      ]
    )
  }

  @Test func documentationShowsThisExample() throws {
    let source = try String(contentsOfFile: #filePath, encoding: .utf8)
    let begin = try #require(source.range(of: "// example begins\n"))
    let end = try #require(source.range(of: "    // example ends"))
    let example = source[begin.upperBound..<end.lowerBound]
      .split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.hasPrefix("    ") ? String($0.dropFirst(4)) : String($0) }
      .joined(separator: "\n")
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let page = try String(contentsOf: root.appendingPathComponent("docs/client.md"), encoding: .utf8)
    #expect(page.contains("```swift\nimport LagoonClient\n\n" + example + "```"))
  }
}

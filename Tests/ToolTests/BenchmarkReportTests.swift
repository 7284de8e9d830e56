import Foundation
import Testing

/// `lagoon-bench report`: tables and a picture out of results, what was written by hand kept, bad results named.
@Suite struct BenchmarkReportTests {
  private static let decode = """
    [{"name": "attend decode bf16, 8192 keys", "figure": 10, "ceiling": 20, "ratio": 0.5, "unit": "GB/s",
      "ceiling_is": "memory read, 2 threads", "details": {"keys": 8192}},
     {"name": "attend decode bf16, 32768 keys", "figure": 18, "ceiling": 20, "ratio": 0.9, "unit": "GB/s",
      "ceiling_is": "memory read, 2 threads", "target": {"bound": "ratio_at_least", "value": 0.85}, "details": {"keys": 32768}}]
    """
  private static let latency = """
    [{"name": "latency", "figure": 120, "ceiling": 100, "ratio": 1.2, "unit": "µs", "ceiling_is": "ping plus kernel",
      "target": {"bound": "excess_at_most", "value": 10}}]
    """
  private static let compared = """
    [{"name": "decode bf16, 8192 keys", "seconds": {"lagoon": 1, "rows": 2}, "best": "rows", "ratio": 2,
      "gigabytes_per_second": {"lagoon": 8, "rows": 4}}]
    """

  private func folder(_ files: [String: String]) throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("report-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for (name, text) in files { try Data(text.utf8).write(to: folder.appendingPathComponent(name)) }
    return folder
  }

  @Test func aPageIsMadeAndWhatWasWrittenByHandStays() throws {
    let folder = try folder([
      "attend-decode.json": Self.decode, "latency.json": Self.latency, "compare-decode.json": Self.compared,
    ])
    defer { try? FileManager.default.removeItem(at: folder) }
    let page = folder.appendingPathComponent("benchmarks.md")
    var run = try Program.run("lagoon-bench", ["report", folder.path, "-o", page.path])
    #expect(run.status == 0, "\(run.errors)")
    var text = try String(contentsOf: page, encoding: .utf8)
    #expect(
      text.contains(
        "| attend decode bf16, 32768 keys | 18.0 GB/s | memory read, 2 threads: 20.0 | 0.900 | at least 0.85 | met |"
      ))
    #expect(
      text.contains("| latency | 120 µs | ping plus kernel: 100 | 1.20 | at most 10.0 more | **missed** |"))
    #expect(text.contains("| decode bf16, 8192 keys | lagoon 8.00, rows 4.00 GB/s | 2.00 × rows |"))
    let picture = try String(
      contentsOf: folder.appendingPathComponent("images/benchmarks.svg"), encoding: .utf8)
    #expect(picture.contains("<svg") && picture.contains("memory read"))

    text = text.replacing(
      "<!-- by hand --><!-- by hand -->", with: "<!-- by hand -->\nOurs.\n<!-- by hand -->")
    try Data(text.utf8).write(to: page)
    // Through a symbolic link, which stays.
    let link = folder.appendingPathComponent("link.md").path
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: page.path)
    run = try Program.run("lagoon-bench", ["report", folder.path, "-o", link])
    #expect(run.status == 0)
    #expect(try String(contentsOf: page, encoding: .utf8).contains("\nOurs.\n"))
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == page.path)
  }

  @Test func badResultsAreNamed() throws {
    let folder = try folder(["latency.json": "[{\"name\": 3}]"])
    defer { try? FileManager.default.removeItem(at: folder) }
    let page = folder.appendingPathComponent("page.md").path
    let bad = try Program.run("lagoon-bench", ["report", folder.path, "-o", page])
    #expect(bad.status != 0 && bad.errors.contains("latency.json"))
    #expect(!FileManager.default.fileExists(atPath: page))
    let none = try Program.run("lagoon-bench", ["report", folder.path + "-none", "-o", page])
    #expect(none.status != 0 && none.errors.contains("there is no folder"))
  }
}

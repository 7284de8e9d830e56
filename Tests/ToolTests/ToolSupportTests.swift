import Foundation
import Testing
import ToolSupport

@Suite struct UnitsTests {
  @Test(arguments: [
    (0, "0 B"), (999, "999 B"), (1000, "0.98 KiB"), (1536, "1.50 KiB"), (10_240, "10.0 KiB"),
    (1 << 20, "1.00 MiB"),
    (64 << 30, "64.0 GiB"), (.max, "8192 PiB"), (-1536, "-1.50 KiB"),
  ])
  func bytes(_ count: Int, _ text: String) { #expect(Units.bytes(count) == text) }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567"), (.min, "-9,223,372,036,854,775,808"),
  ])
  func counts(_ value: Int, _ text: String) { #expect(Units.count(value) == text) }

  @Test(arguments: [
    (0.0, "0 ms"), (0.85, "850 ms"), (0.9999, "1.0 s"), (59.9, "59.9 s"), (59.99, "1 m 00 s"),
    (185, "3 m 05 s"),
    (7620, "2 h 07 m"), (.infinity, "?"),
  ])
  func durations(_ value: Double, _ text: String) { #expect(Units.seconds(value) == text) }

  @Test func rates() {
    #expect(Units.rate(3.4211, "tokens") == "3.42 tokens/s")
    #expect(Units.rate(7120.4, "tokens") == "7,120 tokens/s")
    #expect(Units.rate(.infinity, "tokens") == "? tokens/s")
  }
}

@Suite struct OutputTests {
  @Test func tablesAlign() {
    var table = Table([("name", .left), ("tokens", .right), ("", .left)])
    table.add(["full", "32,768", ""])
    table.add(["größer", "1"])
    #expect(
      table.text == """
        name    tokens
        ──────  ──────
        full    32,768
        größer       1

        """)
  }

  @Test func progressSaysHowFarHowFastHowLong() {
    let text = ProgressLine.text(done: 3000, total: 10_000, first: 1000, unit: "tokens", elapsed: 4)
    #expect(text == "3,000 of 10,000 tokens (30%), 500 tokens/s, 14.0 s left")
    let ended = ProgressLine.text(done: 10, total: 10, first: 0, unit: "tokens", elapsed: 1)
    #expect(!ended.contains("left"))
  }

  @Test func jsonIsSortedAndWhole() throws {
    struct Value: Encodable {
      var b = 0.1
      var a = "x/y"
      var c = Double.nan
    }
    let text = try Output.jsonText(Value())
    #expect(text == "{\n  \"a\" : \"x/y\",\n  \"b\" : 0.1,\n  \"c\" : \"nan\"\n}")
  }
}

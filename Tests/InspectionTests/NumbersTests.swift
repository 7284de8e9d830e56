import Inspection
import Testing

@Suite struct NumbersTests {
  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (32768, "32,768"), (1_234_567, "1,234,567"), (-4096, "-4,096"),
  ])
  func digitsAreGroupedInThrees(value: Int, text: String) {
    #expect(Numbers.grouped(value) == text)
  }

  @Test(arguments: [
    (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (1_048_575, "1.00 MiB"),
    (3_407_872, "3.25 MiB"), (64 << 30, "64.00 GiB"),
  ])
  func bytesHaveUnits(count: Int, text: String) {
    #expect(Numbers.bytes(count) == text)
  }

  @Test(arguments: [
    (0.0, 2, "0.00"), (1.005, 1, "1.0"), (3.94, 2, "3.94"), (9.999, 2, "10.00"), (-0.5, 0, "-1"),
    (-0.04, 1, "0.0"),
    (0.07, 2, "0.07"), (12.3456, 3, "12.346"),
  ])
  func decimalsAreFixed(value: Double, digits: Int, text: String) {
    #expect(Numbers.fixed(value, digits: digits) == text)
  }

  @Test func aFactorThatDoesNotExistIsADash() {
    #expect(Numbers.factor(nil) == "-")
    #expect(Numbers.factor(.infinity) == "-")
    #expect(Numbers.factor(3.9449) == "3.94×")
    #expect(Numbers.factor(15.62) == "15.6×")
  }

  @Test(arguments: [
    (1, "1970-01-01 00:00:01 UTC"), (951_782_400, "2000-02-29 00:00:00 UTC"),
    (1_709_251_199, "2024-02-29 23:59:59 UTC"), (4_107_542_400, "2100-03-01 00:00:00 UTC"),
    (-1, "1969-12-31 23:59:59 UTC"),
  ])
  func momentsAreDates(seconds: Int, text: String) {
    #expect(Numbers.moment(unixSeconds: seconds) == text)
  }

  @Test func durationsAreShort() {
    #expect(Numbers.duration(seconds: 41) == "41 s")
    #expect(Numbers.duration(seconds: 125) == "2 min 05 s")
    #expect(Numbers.duration(seconds: 7500) == "2 h 05 min")
    #expect(Numbers.duration(seconds: 3 * 86400 + 3600) == "3 d 01 h")
  }

  @Test(arguments: 1...2000)
  func ticksAreRoundAndFitTheirNumber(seed: Int) {
    let (span, parts) = (seed * seed * 7 % 1_000_003 + 1, seed % 12 + 1)
    let step = Numbers.tickStep(span: span, parts: parts)
    #expect(step * parts >= span)
    var leading = step
    while leading % 10 == 0 { leading /= 10 }
    #expect([1, 2, 5].contains(leading))
    // A finer round step would be too many.
    let finer = leading == 5 ? step / 5 * 2 : step / 2
    #expect(step == 1 || finer * parts < span)
  }

  @Test func tableColumnsLineUp() {
    var table = TextTable([("NAME", .left), ("TOKENS", .right), ("NOTE", .left)])
    table.add(["a", "32,768", ""])
    table.add(["longer", "7", "x"])
    #expect(
      table.text == """
        NAME    TOKENS  NOTE
        a       32,768
        longer       7  x

        """)
  }
}

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
}

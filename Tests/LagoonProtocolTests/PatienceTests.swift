import Patience
import Testing

@Suite struct PatienceTests {
  @Test func looksOnlyWhereFramesComeSoon() {
    var patience = Patience()
    #expect(patience.nanoseconds == 0)  // nothing is known yet
    for _ in 0..<40 { patience.note(50_000) }
    #expect(patience.nanoseconds > 50_000 && patience.nanoseconds <= Patience.longest)
    // A pause of the client's ends it at once or nearly, however long it is, and short waits bring it back.
    for _ in 0..<2 { patience.note(.max) }
    #expect(patience.nanoseconds == 0)
    for _ in 0..<40 { patience.note(20_000) }
    #expect(patience.nanoseconds > 20_000 && patience.nanoseconds < 60_000)
    for _ in 0..<40 { patience.note(2 * Patience.longest) }
    #expect(patience.nanoseconds == 0)
  }
}

import Patience
import Testing

@Suite struct PatienceTests {
  @Test func looksOnlyWhereFramesComeSoon() {
    var patience = Patience()
    #expect(patience.nanoseconds == 0)  // nothing is known yet
    for _ in 0..<40 { patience.note(50_000, slept: false) }
    #expect(patience.nanoseconds > 50_000 && patience.nanoseconds <= Patience.longest)
    // One pause of the client's does not end it, however long it is. A few do, and short waits bring it back.
    patience.note(.max, slept: true)
    #expect(patience.nanoseconds > 50_000)
    for _ in 0..<5 { patience.note(.max, slept: true) }
    #expect(patience.nanoseconds == 0)
    for _ in 0..<40 { patience.note(20_000, slept: false) }
    #expect(patience.nanoseconds > 20_000 && patience.nanoseconds < 60_000)
    for _ in 0..<40 { patience.note(2 * Patience.longest, slept: true) }
    #expect(patience.nanoseconds == 0)
  }

  /// A wait within the longest time of looking, which waking makes longer than that.
  @Test func whatOnlySleepingMadeLongIsLookedFor() {
    var patience = Patience()
    for _ in 0..<6 { patience.note(.max, slept: true) }
    for _ in 0..<60 {
      let isLooking = patience.nanoseconds > 120_000
      patience.note(isLooking ? 120_000 : 175_000, slept: !isLooking)
    }
    #expect(patience.nanoseconds > 120_000)
  }

  /// Waits that are a little too long to be looked for, however they are spent, are looked for now and then, not always.
  @Test func lookingInVainEnds() {
    var patience = Patience()
    var vain = 0
    for _ in 0..<1000 {
      if patience.nanoseconds > 0 { vain += 1 }
      patience.note(240_000, slept: true)
    }
    #expect(vain < 500)
  }

  @Test func lookingEndsWhenItIsThereOrTimeIsUp() {
    var patience = Patience()
    #expect(!patience.look { true })  // nobody looks where waits are long
    for _ in 0..<40 { patience.note(20_000, slept: false) }
    // On a busy machine time may be up before.
    let isFound = (0..<100).contains { _ in
      var looks = 0
      return patience.look {
        looks += 1
        return looks == 3
      }
    }
    #expect(isFound)
    #expect(!patience.look { false })
  }
}

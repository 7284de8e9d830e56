import LagoonDaemon
import Testing

@Suite struct RosterTests {
  @Test func admitsUpToItsLimitAndNamesEachConnectionOnce() {
    var roster = Roster(limit: 2)
    #expect(roster.admit(10) == .serve(id: 1))
    #expect(roster.admit(11) == .serve(id: 2))
    #expect(roster.admit(12) == .overloaded)
    roster.leave(1)
    #expect(roster.admit(13) == .serve(id: 3))
    #expect(roster.sockets == [2: 11, 3: 13])
  }

  @Test func isDrainedWhenEveryoneHasLeft() {
    var roster = Roster(limit: 2)
    roster.accepting()
    _ = roster.admit(10)
    #expect(!roster.isDrained)
    roster.drain()
    #expect(roster.admit(11) == .shuttingDown)
    #expect(!roster.isDrained)
    roster.leave(1)
    #expect(!roster.isDrained)
    roster.acceptorEnded()
    #expect(roster.isDrained)
  }
}

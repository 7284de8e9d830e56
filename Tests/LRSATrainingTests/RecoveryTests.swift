import LRSATraining
import LagoonClient
import Testing
import Transformer

/// What a trainer does when its daemon is gone.
@Suite struct RecoveryTests {
  private func source(connect: @escaping () throws -> LagoonConnection) throws -> DaemonAttentionSource {
    let settings = AttentionSettings(
      choices: [.init(policy: .lagkv, ratio: 0.25, weight: 1)], sinks: 4, lag: 16, dtype: .float32)
    return DaemonAttentionSource(
      try ModelConfiguration(folder: TinyModel.root + "/data/kjv-tiny"), settings, seed: 1, chunk: 64,
      connect: connect)
  }

  @Test func aRunThatIsToStopDoesNotWaitForADaemon() throws {
    var attempts = 0
    let source = try source {
      attempts += 1
      throw LagoonError(.cannotConnect, "nobody listens")
    }
    var asked = 0
    let isReady = try source.recover(from: LagoonError(.connectionLost, "it was killed")) {
      asked += 1
      return asked == 3
    }
    #expect(!isReady)
    #expect(attempts == 2)
  }

  @Test func whatTheDaemonRefusesIsNotTriedAgain() throws {
    let source = try source {
      Issue.record("nothing was lost, so nothing is connected again")
      throw LagoonError(.cannotConnect, "nobody listens")
    }
    #expect(try !source.recover(from: LagoonError(.quotaExceeded, "no room")) { false })
    #expect(try !source.recover(from: TrainingError("something else")) { false })
  }
}

import Foundation
import LRSATraining
import LagKV
import Testing
import Transformer

@Suite struct LearningRateScheduleTests {
  private static let schedules = [
    LearningRateSchedule(peak: 3e-4, warmUpSteps: 50, steps: 500),
    LearningRateSchedule(peak: 1, finalShare: 0, warmUpSteps: 1, steps: 7),
    LearningRateSchedule(peak: 1e-3, finalShare: 1, warmUpSteps: 0, steps: 20),
    LearningRateSchedule(peak: 2e-3, finalShare: 0.5, warmUpSteps: 10, steps: 11),
  ]

  @Test(arguments: schedules) func risesInALineAndFalls(_ schedule: LearningRateSchedule) {
    let rates = (0..<schedule.steps).map(schedule.rate)
    for step in 0..<schedule.warmUpSteps {
      let line = schedule.peak * Double(step + 1) / Double(schedule.warmUpSteps)
      #expect(abs(rates[step] - line) < 1e-12 * schedule.peak)
    }
    #expect(rates.allSatisfy { $0 > 0 || schedule.finalShare == 0 })
    #expect(abs((rates.max() ?? 0) - schedule.peak) < 1e-12 * schedule.peak)
    let falling = rates[max(schedule.warmUpSteps - 1, 0)...]
    for (before, after) in zip(falling, falling.dropFirst()) {
      #expect(after <= before * (1 + 1e-12))
    }
  }

  /// The last step has the final share of the peak, as have steps beyond; half way down it is half of the way.
  @Test func endsAtTheFinalShare() {
    for schedule in Self.schedules.dropLast() {
      let end = schedule.peak * schedule.finalShare
      #expect(abs(schedule.rate(step: schedule.steps - 1) - end) < 1e-12 * schedule.peak)
      #expect(abs(schedule.rate(step: schedule.steps + 100) - end) < 1e-12 * schedule.peak)
    }
    let schedule = LearningRateSchedule(peak: 1, finalShare: 0.2, warmUpSteps: 10, steps: 31)
    #expect(abs(schedule.rate(step: 20) - 0.6) < 1e-12)
    // A quarter of the way: 0.5 · (1 + cos 45°).
    #expect(abs(schedule.rate(step: 15) - (0.2 + 0.8 * 0.853_553_390_593_273_8)) < 1e-12)
  }
}

@Suite struct SpikeFilterTests {
  private func answers(_ filter: inout SpikeFilter, _ losses: [Double]) -> [Bool] {
    losses.map { filter.isSpike($0) }
  }

  /// Of factor 2, after forty losses of 1.
  private func settled() -> SpikeFilter {
    var filter = SpikeFilter(factor: 2)
    _ = answers(&filter, Array(repeating: 1, count: 40))
    return filter
  }

  @Test func aLossThatStandsOutIsASpike() {
    var filter = SpikeFilter(factor: 2)
    // Too few to tell.
    #expect(answers(&filter, [1, 100]) == [false, false])
    #expect(filter.median == nil)
    #expect(!answers(&filter, Array(repeating: 1, count: 30)).contains(true))
    #expect(filter.median == 1)
    #expect(answers(&filter, [2, 2.01, .infinity, 1.5]) == [false, true, true, false])
    // A spike does not count among the recent ones.
    #expect(filter.median == 1)
  }

  /// Losses that rise and stay there are skipped for a while only, and what they come to is the new level.
  @Test func aRiseThatLastsIsAccepted() {
    var filter = settled()
    let answers = answers(&filter, (0..<40).map { 5 + Double($0 % 2) })
    #expect(answers == Array(repeating: true, count: 8) + Array(repeating: false, count: 32))
    #expect(filter.median == 5.5)
    #expect(self.answers(&filter, [13, 9]) == [true, false])
  }

  /// Only spikes in a row are a rise.
  @Test func spikesApartStaySpikes() {
    var filter = settled()
    for _ in 0..<20 {
      let answers = answers(&filter, Array(repeating: 9, count: 7) + [1])
      #expect(answers == Array(repeating: true, count: 7) + [false])
    }
    #expect(filter.median == 1)
  }

  /// A checkpoint holds all of it; one that was written before it counted spikes is read.
  @Test func itsStateIsSaved() throws {
    var filter = settled()
    _ = answers(&filter, Array(repeating: 7, count: 5))
    var copy = try JSONDecoder().decode(SpikeFilter.self, from: JSONEncoder().encode(filter))
    #expect(copy == filter)
    #expect(answers(&copy, Array(repeating: 7, count: 6)) == [true, true, true, false, false, false])
    let old = Data(#"{"factor": 2, "recent": [1, 1, 1, 1, 1, 1, 1, 1]}"#.utf8)
    var read = try JSONDecoder().decode(SpikeFilter.self, from: old)
    #expect(answers(&read, [3, 1]) == [true, false])
  }
}

@Suite struct AttentionSettingsTests {
  private let settings = AttentionSettings(
    choices: [
      .init(policy: .lagkv, ratio: 0.25, weight: 5), .init(policy: .lagkv, ratio: 0.5, weight: 2.5),
      .init(policy: .random, ratio: 0.25, weight: 2), .init(policy: .full, ratio: 1, weight: 0.5),
    ], sinks: 16, lag: 64, dtype: .float32)

  /// Each comes as often as its weight says, over the documents of one run and over runs.
  @Test func weightsAreMet() {
    let draws = 20_000
    for choices in [
      (0..<draws).map { settings.choice(document: $0, seed: 7) },
      (0..<draws).map { settings.choice(document: 3, seed: UInt64($0)) },
    ] {
      for choice in settings.choices {
        let expected = choice.weight / 10
        let share = Double(choices.count { $0 == choice }) / Double(draws)
        // Five standard deviations.
        let bound = 5 * (expected * (1 - expected) / Double(draws)).squareRoot()
        #expect(abs(share - expected) < bound, "\(choice): \(share)")
      }
    }
  }

  /// One seed, one mix; another seed, another.
  @Test func drawsAreSeeded() {
    func mix(_ seed: UInt64) -> [AttentionSettings.Choice] {
      (0..<64).map { settings.choice(document: $0, seed: seed) }
    }
    #expect(mix(1) == mix(1))
    #expect(mix(1) != mix(2))
  }

  @Test func evaluationsHaveTheFirst() {
    for seed in 0..<64 as Range<UInt64> {
      #expect(settings.choice(document: nil, seed: seed) == settings.choices[0])
    }
    var single = settings
    single.choices = [settings.choices[2]]
    #expect((0..<64).allSatisfy { single.choice(document: $0, seed: 1) == settings.choices[2] })
  }
}

@Suite struct RunSettingsTests {
  static let settings = RunSettings(
    model: "data/kjv-tiny", corpus: "f00d", maximumTokens: 2048, documentsPerStep: 8, documentsTogether: 4,
    chunk: 512, compute: "f32", ropeFrequencies: "exact", rope: nil,
    schedule: LearningRateSchedule(peak: 3e-4, warmUpSteps: 50, steps: 500), optimizer: AdamW.Settings(),
    clip: 1, spikeFactor: nil, seed: 1, attention: nil, trained: "all weights")

  /// Every field that a run's result depends on is told by its name, and nothing else is.
  @Test func differencesAreNamed() throws {
    let settings = Self.settings
    #expect(try settings.differences(from: settings) == [])
    let changes: [(String, (inout RunSettings) -> Void)] = [
      ("model", { $0.model = "elsewhere" }), ("corpus", { $0.corpus = "beef" }),
      ("maximumTokens", { $0.maximumTokens = 1 }), ("documentsPerStep", { $0.documentsPerStep = 1 }),
      ("documentsTogether", { $0.documentsTogether = 1 }), ("chunk", { $0.chunk = 1 }),
      ("compute", { $0.compute = "bf16" }), ("ropeFrequencies", { $0.ropeFrequencies = "float32" }),
      ("schedule", { $0.schedule.steps = 501 }), ("optimizer", { $0.optimizer.weightDecay = 0 }),
      ("clip", { $0.clip = nil }), ("spikeFactor", { $0.spikeFactor = 2 }), ("seed", { $0.seed = 2 }),
      (
        "attention",
        {
          $0.attention = AttentionSettings(
            choices: [.init(policy: .lagkv, ratio: 0.25)], sinks: 16, lag: 64, dtype: .float32)
        }
      ), ("trained", { $0.trained = "an adapter" }), ("version", { $0.version = 0 }),
    ]
    for (name, change) in changes {
      var other = settings
      change(&other)
      #expect(try settings.differences(from: other) == [name])
      #expect(try other.differences(from: settings) == [name])
    }
    var two = settings
    two.seed = 9
    two.chunk = 9
    #expect(try settings.differences(from: two) == ["chunk", "seed"])
  }

  /// What is written is what is read.
  @Test func theyAreWrittenWhole() throws {
    var settings = Self.settings
    settings.attention = AttentionSettings(
      choices: [.init(policy: .lagkv, ratio: 0.25), .init(policy: .random, ratio: 0.1, weight: 3)], sinks: 16,
      lag: 64, exemptLayers: [0, 3], dtype: .bfloat16, backpropagatedChunks: 4)
    let read = try JSONDecoder().decode(RunSettings.self, from: settings.json())
    #expect(read == settings)
    #expect(try read.differences(from: settings) == [])
  }
}

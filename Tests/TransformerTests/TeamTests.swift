import Synchronization
import Testing
import Transformer

@Suite struct TeamTests {
  @Test(arguments: [0, 1, 2, 7, 1000]) func everyItemRunsOnce(_ items: Int) {
    let runs = (0..<items).map { _ in Counter() }
    let participants = Mutex<Set<Int>>([])
    Team.run(items) { item, participant in
      runs[item].value.wrappingAdd(1, ordering: .relaxed)
      participants.withLock { _ = $0.insert(participant) }
    }
    #expect(runs.allSatisfy { $0.value.load(ordering: .relaxed) == 1 })
    #expect(participants.withLock { $0.allSatisfy { (0..<Team.size).contains($0) } })
  }

  /// Within a region there is only its own thread.
  @Test func regionsNest() {
    let sum = Atomic(0)
    Team.run(10) { outer, _ in
      Team.run(10) { inner, participant in
        if participant == 0 { sum.wrappingAdd(outer * 10 + inner, ordering: .relaxed) }
      }
    }
    #expect(sum.load(ordering: .relaxed) == (0..<100).reduce(0, +))
  }

  @Test func partsAreTheWhole() {
    let parts = Mutex<[Range<Int>]>([])
    Team.split(100, grain: 30) { part in parts.withLock { $0.append(part) } }
    #expect(
      parts.withLock { $0.sorted { $0.lowerBound < $1.lowerBound } } == [0..<30, 30..<60, 60..<90, 90..<100])
    Team.split(0) { _ in Issue.record("nothing has no parts") }
  }

  /// A step of enough rows for every way of sharing work, on all threads and on one. The rows with targets are blocks of 1,024:
  /// the weight gradient of fewer is one product of oneDNN's, whose last bits may differ.
  @Test(arguments: [Compute.float32, .bfloat16])
  func resultsDoNotDependOnTheNumberOfThreads(_ compute: Compute) throws {
    let variant = RandomDecoder.variants[1]
    var noise = Noise(8)
    let documents = (0..<4).map { _ in
      TrainingDocument((0..<1025).map { _ in UInt32((noise.next() + 1) * 18) })
    }
    func step() throws(ModelError) -> (loss: Double, gradients: [String: [Float]]) {
      do {
        let decoder = try variant.load(compute)
        let batch = documents.flatMap {
          $0.chunks(
            of: 1025, CausalTrainingAttention(decoder.configuration, compute: compute, capacity: 1025))
        }
        var saved = SavedActivations(decoder.configuration)
        try decoder.forward(batch, saving: &saved)
        return (try decoder.backward(batch, saved, scale: 1e-3), decoder.copyOfGradients)
      } catch {
        throw error as? ModelError ?? ModelError(.backend, "\(error)")
      }
    }
    let all = try step()
    let one = try Team.alone(step)
    #expect(all.loss == one.loss)
    func differing(_ other: [String: [Float]]) -> [String] {
      other.keys.filter { other[$0] != all.gradients[$0] }.sorted()
    }
    #expect(differing(one.gradients) == [])
    #expect(differing(try step().gradients) == [])
  }

  private final class Counter: Sendable {
    let value = Atomic(0)
  }
}

import Kernels
import Testing

@Suite struct TargetTests {
  /// What tests run "on every target" means something: there are targets, and each is another one.
  @Test func everyTargetIsAnother() {
    var names: [String] = []
    onEveryTarget { names.append($0) }
    #expect(!names.isEmpty && names.count == lagoon_target_count())
    #expect(Set(names).count == names.count)
  }
}

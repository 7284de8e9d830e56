import ArgumentParser
import LagKV
import RecallTasks

/// What `eval` measures.
enum EvalTask: ExpressibleByArgument, Equatable {
  case bitsPerByte
  case recall(RecallTask)

  var name: String {
    switch self {
    case .bitsPerByte: "bits-per-byte"
    case .recall(let task): task.rawValue
    }
  }

  static var all: [EvalTask] { [.bitsPerByte] + RecallTask.allCases.map { .recall($0) } }
  static var allValueStrings: [String] { all.map(\.name) }

  init?(argument: String) {
    guard let task = Self.all.first(where: { $0.name == argument }) else { return nil }
    self = task
  }
}

/// A policy and its ratio, such as `lagkv:0.25` or `full`.
struct KeepOption: ExpressibleByArgument {
  let policy: PolicyKind
  /// Nil: the default.
  let ratio: Double?

  init?(argument: String) {
    let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard let policy = PolicyKind(name: String(parts[0])) else { return nil }
    self.policy = policy
    guard parts.count == 2 else {
      ratio = nil
      return
    }
    // What keeps all or nothing has no ratio to be asked for.
    guard policy.takesRatio, let ratio = Double(parts[1]), (0...1).contains(ratio) else { return nil }
    self.ratio = ratio
  }
}

extension PolicyKind {
  /// Whether a ratio says how much the policy keeps.
  var takesRatio: Bool { self != .full && self != .streaming }
}

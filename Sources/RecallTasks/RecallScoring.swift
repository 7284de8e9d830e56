/// How an answer is judged.
public enum RecallScoring: String, Sendable, Hashable, Codable {
  /// The answer begins with what is expected, every character.
  case beginning
  /// Longest run of what is expected that stands anywhere in the answer, as a share; all of it counts as right (LagKV's
  /// passkey, arXiv 2504.04704).
  case longestRun = "longest_run"
  /// Share of what is expected that stands anywhere in the answer, whatever its case (RULER, arXiv 2404.06654).
  case mentions

  /// - Parameters:
  ///   - answer: UTF-8 of what the model went on with.
  ///   - expected: not empty, nothing in it empty.
  public func score(_ answer: [UInt8], expected: [String]) -> RecallScore {
    precondition(!expected.isEmpty && expected.allSatisfy { !$0.isEmpty })
    switch self {
    case .beginning:
      let right = expected.count { answer.starts(with: $0.utf8) }
      return RecallScore(right: right, asked: expected.count, share: Double(right) / Double(expected.count))
    case .longestRun:
      let runs = expected.map { (Self.longestRun(Array($0.utf8), in: answer), $0.utf8.count) }
      let share = runs.reduce(0.0) { $0 + Double($1.0) / Double($1.1) } / Double(runs.count)
      return RecallScore(right: runs.count { $0.0 == $0.1 }, asked: runs.count, share: share)
    case .mentions:
      let lowered = answer.map(Self.lowered)
      let right = expected.count { word in
        Self.longestRun(word.utf8.map(Self.lowered), in: lowered) == word.utf8.count
      }
      return RecallScore(right: right, asked: expected.count, share: Double(right) / Double(expected.count))
    }
  }

  private static func lowered(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte + 32 : byte }

  /// Length of the longest run of `expected` that stands in `answer`.
  ///
  /// - Complexity: O(`expected.count` × `answer.count`).
  static func longestRun(_ expected: [UInt8], in answer: [UInt8]) -> Int {
    var longest = 0
    // Of the run that ends at each byte of what is expected, up to the byte of the answer before this one.
    var ending = [Int](repeating: 0, count: expected.count + 1)
    for byte in answer {
      for index in stride(from: expected.count, to: 0, by: -1) {
        ending[index] = expected[index - 1] == byte ? ending[index - 1] + 1 : 0
        longest = max(longest, ending[index])
      }
    }
    return longest
  }
}

/// What an answer was worth.
public struct RecallScore: Sendable, Hashable, Codable {
  /// Of what was asked for, how much was right in full.
  public var right: Int
  public var asked: Int
  /// 0...1, with what was right in part.
  public var share: Double

  public init(right: Int, asked: Int, share: Double) {
    self.right = right
    self.asked = asked
    self.share = share
  }
}

/// A proportion with the interval in which it lies, 95% of the time.
public struct Proportion: Sendable, Hashable, Codable {
  public var value: Double
  public var low: Double
  public var high: Double

  /// Wilson's score interval (1927): holds also near 0 and 1, and for few trials. It takes the trials for independent.
  ///
  /// - Parameter trials: 0: nothing is known, 0...1.
  public init(_ right: Int, of trials: Int) {
    precondition(right >= 0 && right <= trials)
    guard trials > 0 else {
      (value, low, high) = (0, 0, 1)
      return
    }
    let z = 1.959_963_984_540_054
    let n = Double(trials)
    let p = Double(right) / n
    let centre = p + z * z / (2 * n)
    let reach = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot()
    let scale = 1 + z * z / n
    value = p
    low = right == 0 ? 0 : max(0, (centre - reach) / scale)
    high = right == trials ? 1 : min(1, (centre + reach) / scale)
  }
}

/// A text file, a file of records or a folder of them, and its share of a mix.
public struct DataSource: Sendable, Hashable {
  /// A `.txt` file, a `.jsonl` file, or a folder that is searched for both.
  public let path: String
  /// Its part of the draws is this over the sum of all weights; finite and above 0.
  public let weight: Double

  /// - Throws: `invalidArgument` for an empty path or a weight that is not above 0.
  public init(path: String, weight: Double = 1) throws(DataError) {
    guard !path.isEmpty else { throw DataError(.invalidArgument, "a source's path is empty") }
    guard weight.isFinite, weight > 0 else {
      throw DataError(.invalidArgument, "\(weight) is not a weight; it is to be above 0", path: path)
    }
    self.path = path
    self.weight = weight
  }

  /// Reads `PATH` or `PATH=WEIGHT`. What follows the last `=` is a weight if it is a number, else it belongs to the path.
  public init(argument: String) throws(DataError) {
    if let sign = argument.lastIndex(of: "="), let weight = Double(argument[argument.index(after: sign)...]) {
      try self.init(path: String(argument[..<sign]), weight: weight)
    } else {
      try self.init(path: argument)
    }
  }
}

/// Which piece of a corpus comes next.
public struct Draw: Codable, Sendable, Hashable {
  /// Index of the source.
  public let source: Int
  /// How often the source had been gone through before.
  public let epoch: Int
  /// Index of the piece among the epoch's, in the order of the text.
  public let index: Int

  public init(source: Int, epoch: Int, index: Int) {
    self.source = source
    self.epoch = epoch
    self.index = index
  }
}

/// The order in which a corpus is drawn: an endless seeded mix of its sources.
///
/// Each draw chooses a source, with the probability of its weight, and takes the next piece of that source's epoch; every
/// epoch of a source is a permutation of its pieces, each another one. Integers only, so a seed means the same order on every
/// machine; a decoded copy goes on exactly where the encoded one stood. Size and time of a draw do not depend on the corpus.
public struct DataOrder: Codable, Sendable, Hashable {
  /// One source's part.
  struct Source: Codable, Sendable, Hashable {
    /// Draws of 53 random bits below this, and not below the source before, are its own.
    let threshold: UInt64
    /// Pieces of the first epoch, and of each later one.
    let firstPieces: Int
    let laterPieces: Int
    var epoch = 0
    /// Draws of this epoch so far.
    var position = 0

    var pieces: Int { epoch == 0 ? firstPieces : laterPieces }
  }

  public let seed: UInt64
  /// Draws so far.
  public private(set) var drawn = 0
  private(set) var sources: [Source]

  private static let randomBits: UInt64 = 53

  /// - Parameter sources: weight (above 0), pieces of the first and of later epochs (above 0) of each.
  package init(seed: UInt64, sources: [(weight: Double, firstPieces: Int, laterPieces: Int)]) {
    precondition(!sources.isEmpty && sources.allSatisfy { $0.firstPieces > 0 && $0.laterPieces > 0 })
    self.seed = seed
    // Scaled by the largest weight first: a sum of finite weights can be infinite.
    let largest = sources.reduce(0) { max($0, $1.weight) }
    let total = sources.reduce(0) { $0 + $1.weight / largest }
    let end = 1 << Self.randomBits as UInt64
    var sum = 0.0
    self.sources = sources.enumerated().map { index, source in
      sum += source.weight / largest
      let isLast = index == sources.count - 1
      let threshold = isLast ? end : min(end, UInt64(sum / total * Double(end)))
      return Source(
        threshold: threshold, firstPieces: source.firstPieces, laterPieces: source.laterPieces)
    }
  }

  /// Epochs that a source has been gone through.
  public func epoch(ofSource index: Int) -> Int { sources[index].epoch }

  public mutating func next() -> Draw {
    let bits = Mixing.key(seed, UInt64(drawn)) >> (64 - Self.randomBits)
    let index = sources.firstIndex { bits < $0.threshold } ?? sources.count - 1
    var source = sources[index]
    let key = Mixing.key(seed, UInt64(index), UInt64(source.epoch), 1)
    let piece = KeyedPermutation(count: source.pieces, key: key)(source.position)
    let draw = Draw(source: index, epoch: source.epoch, index: piece)
    source.position += 1
    if source.position == source.pieces {
      source.epoch += 1
      source.position = 0
    }
    sources[index] = source
    drawn += 1
    return draw
  }
}

extension DataOrder {
  /// - Throws: `dataCorrupted` for a state that no order can be in.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    seed = try container.decode(UInt64.self, forKey: .seed)
    drawn = try container.decode(Int.self, forKey: .drawn)
    sources = try container.decode([Source].self, forKey: .sources)
    var last: UInt64 = 0
    var isSound = drawn >= 0 && sources.last?.threshold == 1 << Self.randomBits
    for source in sources {
      isSound = isSound && source.threshold >= last && source.firstPieces > 0 && source.laterPieces > 0
      isSound = isSound && source.epoch >= 0 && (0..<source.pieces).contains(source.position)
      last = source.threshold
    }
    guard isSound else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "this is no state of a data order"))
    }
  }
}

/// How kept rows are stored. The window and the sinks are always as they are.
public enum Codec: UInt8, Sendable, Hashable, CaseIterable {
  /// As they are, read in place.
  case raw = 0
  /// Lossless: byte planes, then zstd, a frame per partition.
  case zstd = 1
  /// Rounded to 8 bits an element, keys by channel and values by token, as KIVI does (arXiv 2402.02750); read in place.
  case q8 = 2

  public var name: String { "\(self)" }

  public init?(name: String) {
    guard let codec = Codec.allCases.first(where: { $0.name == name }) else { return nil }
    self = codec
  }
}

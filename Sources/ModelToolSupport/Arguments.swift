import ArgumentParser
import LagKV
import LagoonProtocol
import Transformer

// The values of options by the names that the wire and the tools share.

extension PolicyKind: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
  public static var allValueStrings: [String] { allCases.map(\.name) }
  public static var allValueDescriptions: [String: String] {
    [
      PolicyKind.lagkv.name: "rows that stand out against the next partition (LagKV)",
      PolicyKind.l2norm.name: "keys of least L2 norm",
      PolicyKind.streaming.name: "none: sinks and window only",
      PolicyKind.random.name: "a seeded draw",
      PolicyKind.full.name: "all",
    ]
  }
}

extension ElementType: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
  public static var allValueStrings: [String] { allCases.map(\.name) }
  public static var allValueDescriptions: [String: String] {
    Dictionary(uniqueKeysWithValues: allCases.map { ($0.name, "\($0.byteCount) bytes per element") })
  }
  public var defaultValueDescription: String { name }
}

extension Codec: ExpressibleByArgument {
  public init?(argument: String) {
    guard let codec = Codec.allCases.first(where: { $0.name == argument }) else { return nil }
    self = codec
  }
  public static var allValueStrings: [String] { allCases.map(\.name) }
  public static var allValueDescriptions: [String: String] {
    [
      Codec.raw.name: "read in place", Codec.zstd.name: "lossless, smaller",
      Codec.q8.name: "8 bits an element, about half of bf16; not with --archive",
    ]
  }
}

extension Compute: ExpressibleByArgument {}

extension FrequencyRounding: ExpressibleByArgument {}

import ArgumentParser
import LagKV
import LagoonProtocol
import Transformer

// The values of options by the names that the wire and the tools share.

extension PolicyKind: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
  public static var allValueStrings: [String] { allCases.map(\.name) }
  public var defaultValueDescription: String { name }
}

extension ElementType: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
  public static var allValueStrings: [String] { allCases.map(\.name) }
  public var defaultValueDescription: String { name }
}

extension Codec: ExpressibleByArgument {
  public init?(argument: String) {
    guard let codec = Codec.allCases.first(where: { $0.name == argument }) else { return nil }
    self = codec
  }
  public static var allValueStrings: [String] { allCases.map(\.name) }
  public var defaultValueDescription: String { name }
}

extension Compute: ExpressibleByArgument {}

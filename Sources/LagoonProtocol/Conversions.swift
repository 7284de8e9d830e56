import LagKV

// The wire's enumerations carry the same numbers as ours; a number that a later version added is nil here.

extension ElementType {
  public init?(_ wire: WireElementType) {
    guard let code = UInt8(exactly: wire.rawValue), let type = ElementType(rawValue: code) else { return nil }
    self = type
  }
  public var wire: WireElementType {
    switch self {
    case .float32: .float32
    case .bfloat16: .bfloat16
    case .float16: .float16
    }
  }
}

extension PolicyKind {
  public init?(_ wire: WirePolicy) {
    guard let code = UInt8(exactly: wire.rawValue), let kind = PolicyKind(rawValue: code) else { return nil }
    self = kind
  }
  public var wire: WirePolicy {
    switch self {
    case .lagkv: .lagkv
    case .l2norm: .l2Norm
    case .streaming: .streaming
    case .random: .random
    case .full: .full
    }
  }
}

extension Codec {
  public init?(_ wire: WireCodec) {
    guard let code = UInt8(exactly: wire.rawValue), let codec = Codec(rawValue: code) else { return nil }
    self = codec
  }
  public var wire: WireCodec {
    switch self {
    case .raw: .raw
    case .zstd: .zstd
    case .q8: .q8
    }
  }
}

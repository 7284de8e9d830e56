/// Each byte is a token: id 65 is "A".
public struct ByteTokenizer: Tokenizer {
  public let vocabularySize = 256
  public var summary: String { "bytes, 256 tokens" }

  public init() {}

  public func encode(_ text: [UInt8], isBeginning: Bool) -> [UInt32] { text.map(UInt32.init) }

  public func bytes(of token: UInt32) -> [UInt8] { UInt8(exactly: token).map { [$0] } ?? [] }
}

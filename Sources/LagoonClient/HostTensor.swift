import LagKV
import LagoonProtocol

/// Queries, keys or values in this process's memory: `[tokens, heads, headDim]` or `[heads, tokens, headDim]`, row-major.
public struct HostTensor {
  public enum Layout: Sendable, Hashable {
    /// `[tokens, heads, headDim]`
    case tokenMajor
    /// `[heads, tokens, headDim]`
    case headMajor
  }

  public let elementType: ElementType
  public let layout: Layout
  public let tokens: Int
  public let heads: Int
  public let headDim: Int
  private let storage: Storage

  private enum Storage {
    case floats([Float])
    case bytes([UInt8])
    case borrowed(UnsafeRawBufferPointer)
  }

  /// Takes `tokens * heads * headDim` floats.
  public init(floats: [Float], tokens: Int, heads: Int, headDim: Int, layout: Layout = .tokenMajor) {
    self.init(.floats(floats), floats.count * 4, .float32, tokens, heads, headDim, layout)
  }

  /// Takes `tokens * heads * headDim` elements of `elementType`, little-endian.
  public init(
    bytes: [UInt8], elementType: ElementType, tokens: Int, heads: Int, headDim: Int,
    layout: Layout = .tokenMajor
  ) {
    self.init(.bytes(bytes), bytes.count, elementType, tokens, heads, headDim, layout)
  }

  /// Describes memory of the caller's, which goes to the socket or the arena without another copy.
  ///
  /// The caller keeps it valid and unchanged until the last call with this tensor has returned.
  public init(
    borrowing bytes: UnsafeRawBufferPointer, elementType: ElementType, tokens: Int, heads: Int, headDim: Int,
    layout: Layout = .tokenMajor
  ) {
    self.init(.borrowed(bytes), bytes.count, elementType, tokens, heads, headDim, layout)
  }

  /// As ``init(borrowing:elementType:tokens:heads:headDim:layout:)``, of floats.
  public init(
    borrowing floats: UnsafeBufferPointer<Float>, tokens: Int, heads: Int, headDim: Int,
    layout: Layout = .tokenMajor
  ) {
    self.init(
      borrowing: UnsafeRawBufferPointer(floats), elementType: .float32, tokens: tokens, heads: heads,
      headDim: headDim, layout: layout)
  }

  private init(
    _ storage: Storage, _ byteCount: Int, _ elementType: ElementType, _ tokens: Int, _ heads: Int,
    _ headDim: Int,
    _ layout: Layout
  ) {
    precondition(tokens >= 0 && heads >= 0 && headDim >= 0, "a tensor's sizes are not negative")
    precondition(
      byteCount == tokens * heads * headDim * elementType.byteCount,
      "\(byteCount) bytes are not [\(tokens), \(heads), \(headDim)] of \(elementType.name)")
    self.storage = storage
    self.elementType = elementType
    self.tokens = tokens
    self.heads = heads
    self.headDim = headDim
    self.layout = layout
  }

  public var elementCount: Int { tokens * heads * headDim }
  public var byteCount: Int { elementCount * elementType.byteCount }

  /// The elements; the pointer is valid during the call only.
  public func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    switch storage {
    case .floats(let floats): floats.withUnsafeBytes(body)
    case .bytes(let bytes): bytes.withUnsafeBytes(body)
    case .borrowed(let bytes): body(bytes)
    }
  }

  /// The wire's description of this tensor at `place`, or nil if its sizes do not fit.
  package func wire(at place: WireTensor.OneOf_Place) -> WireTensor? {
    guard let tokens = UInt32(exactly: tokens), let heads = UInt32(exactly: heads),
      let headDim = UInt32(exactly: headDim)
    else { return nil }
    var message = WireTensor()
    message.elementType = elementType.wire
    message.layout = layout == .tokenMajor ? .tokenMajor : .headMajor
    message.tokens = tokens
    message.heads = heads
    message.headDim = headDim
    message.place = place
    return message
  }
}

import LagKV

/// A tensor `[tokens, heads, headDim]` somewhere in memory: element (token `t`, head `h`, channel `c`) is at
/// `base + (t * tokenStride + h * headStride + c) * elementType.byteCount`, at any alignment.
///
/// A view: whoever makes it keeps the memory alive, and unchanged while it is read.
public struct TensorView {
  public let base: UnsafeRawPointer
  public let elementType: ElementType
  public let tokens: Int
  public let heads: Int
  public let headDim: Int
  /// In elements.
  public let tokenStride: Int
  /// In elements.
  public let headStride: Int

  public init(
    base: UnsafeRawPointer, elementType: ElementType, tokens: Int, heads: Int, headDim: Int,
    tokenStride: Int, headStride: Int
  ) {
    self.base = base
    self.elementType = elementType
    self.tokens = tokens
    self.heads = heads
    self.headDim = headDim
    self.tokenStride = tokenStride
    self.headStride = headStride
  }

  /// Rows lie `[tokens, heads, headDim]`.
  public static func tokenMajor(
    _ base: UnsafeRawPointer, elementType: ElementType, tokens: Int, heads: Int, headDim: Int
  ) -> TensorView {
    TensorView(
      base: base, elementType: elementType, tokens: tokens, heads: heads, headDim: headDim,
      tokenStride: heads * headDim, headStride: headDim)
  }

  /// Rows lie `[heads, tokens, headDim]`.
  public static func headMajor(
    _ base: UnsafeRawPointer, elementType: ElementType, tokens: Int, heads: Int, headDim: Int
  ) -> TensorView {
    TensorView(
      base: base, elementType: elementType, tokens: tokens, heads: heads, headDim: headDim,
      tokenStride: headDim, headStride: tokens * headDim)
  }

  /// Bytes of one row, `[headDim]`.
  public var rowBytes: Int { headDim * elementType.byteCount }

  /// Where the row of this token and head starts.
  public func row(token: Int, head: Int) -> UnsafeRawPointer {
    base + (token * tokenStride + head * headStride) * elementType.byteCount
  }

  /// The same tensor with some of its tokens.
  public func slice(tokens range: Range<Int>) -> TensorView {
    precondition(range.lowerBound >= 0 && range.upperBound <= tokens)
    return TensorView(
      base: row(token: range.lowerBound, head: 0), elementType: elementType, tokens: range.count,
      heads: heads, headDim: headDim, tokenStride: tokenStride, headStride: headStride)
  }
}

/// A tensor `[tokens, heads, headDim]` of f32 to write to; see ``TensorView``.
public struct MutableTensorView {
  public let base: UnsafeMutableRawPointer
  public let tokens: Int
  public let heads: Int
  public let headDim: Int
  /// In elements.
  public let tokenStride: Int
  /// In elements.
  public let headStride: Int

  public init(
    base: UnsafeMutableRawPointer, tokens: Int, heads: Int, headDim: Int, tokenStride: Int, headStride: Int
  ) {
    self.base = base
    self.tokens = tokens
    self.heads = heads
    self.headDim = headDim
    self.tokenStride = tokenStride
    self.headStride = headStride
  }

  /// Rows lie `[tokens, heads, headDim]`.
  public static func tokenMajor(
    _ base: UnsafeMutableRawPointer, tokens: Int, heads: Int, headDim: Int
  ) -> MutableTensorView {
    MutableTensorView(
      base: base, tokens: tokens, heads: heads, headDim: headDim, tokenStride: heads * headDim,
      headStride: headDim)
  }

  /// Rows lie `[heads, tokens, headDim]`.
  public static func headMajor(
    _ base: UnsafeMutableRawPointer, tokens: Int, heads: Int, headDim: Int
  ) -> MutableTensorView {
    MutableTensorView(
      base: base, tokens: tokens, heads: heads, headDim: headDim, tokenStride: headDim,
      headStride: tokens * headDim)
  }

  /// The same memory to read from.
  public var readOnly: TensorView {
    TensorView(
      base: UnsafeRawPointer(base), elementType: .float32, tokens: tokens, heads: heads, headDim: headDim,
      tokenStride: tokenStride, headStride: headStride)
  }

  /// Where the row of this token and head starts.
  public func row(token: Int, head: Int) -> UnsafeMutableRawPointer {
    base + (token * tokenStride + head * headStride) * 4
  }

  /// The same tensor with some of its tokens.
  public func slice(tokens range: Range<Int>) -> MutableTensorView {
    precondition(range.lowerBound >= 0 && range.upperBound <= tokens)
    return MutableTensorView(
      base: row(token: range.lowerBound, head: 0), tokens: range.count, heads: heads, headDim: headDim,
      tokenStride: tokenStride, headStride: headStride)
  }
}

/// Log-sum-exp per query and head, f32 `[tokens, heads]`, natural logarithm; -infinity where a query saw no key.
public struct LogSumExpView {
  public let base: UnsafeMutableRawPointer
  public let tokens: Int
  public let heads: Int
  /// In elements.
  public let tokenStride: Int
  /// In elements.
  public let headStride: Int

  public init(
    base: UnsafeMutableRawPointer, tokens: Int, heads: Int, tokenStride: Int, headStride: Int
  ) {
    self.base = base
    self.tokens = tokens
    self.heads = heads
    self.tokenStride = tokenStride
    self.headStride = headStride
  }

  /// Values lie `[tokens, heads]`.
  public static func tokenMajor(_ base: UnsafeMutableRawPointer, tokens: Int, heads: Int) -> LogSumExpView {
    LogSumExpView(base: base, tokens: tokens, heads: heads, tokenStride: heads, headStride: 1)
  }

  /// Values lie `[heads, tokens]`.
  public static func headMajor(_ base: UnsafeMutableRawPointer, tokens: Int, heads: Int) -> LogSumExpView {
    LogSumExpView(base: base, tokens: tokens, heads: heads, tokenStride: 1, headStride: tokens)
  }

  /// The value of this token and head, at any alignment.
  public subscript(token: Int, head: Int) -> Float {
    get { base.loadUnaligned(fromByteOffset: 4 * (token * tokenStride + head * headStride), as: Float.self) }
    nonmutating set {
      base.storeBytes(
        of: newValue, toByteOffset: 4 * (token * tokenStride + head * headStride), as: Float.self)
    }
  }

  /// The same values for some of the tokens.
  public func slice(tokens range: Range<Int>) -> LogSumExpView {
    precondition(range.lowerBound >= 0 && range.upperBound <= tokens)
    return LogSumExpView(
      base: base + 4 * range.lowerBound * tokenStride, tokens: range.count, heads: heads,
      tokenStride: tokenStride, headStride: headStride)
  }
}

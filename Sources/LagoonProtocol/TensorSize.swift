import LagKV

/// The sizes of a tensor that a message claims, computed without overflow.
public enum TensorSize {
  /// Elements of `[tokens, heads, headDim]`, or nil if that is not a number of bytes that memory could hold.
  public static func elements(tokens: UInt32, heads: UInt32, headDim: UInt32) -> Int? {
    let (rows, overflow) = UInt64(tokens).multipliedReportingOverflow(by: UInt64(heads))
    guard !overflow else { return nil }
    let (elements, more) = rows.multipliedReportingOverflow(by: UInt64(headDim))
    // Sixteen bytes for each must fit, so that no size computed from this one overflows either.
    guard !more, elements <= UInt64(Int.max / 16) else { return nil }
    return Int(elements)
  }

  /// Whether `[offset, offset + bytes)` lies in `0..<count`, whatever the numbers.
  public static func fits(offset: UInt64, bytes: Int, in count: Int) -> Bool {
    precondition(bytes >= 0 && count >= 0)
    return offset <= UInt64(count) && UInt64(bytes) <= UInt64(count) - offset
  }
}

import LagKV
import LagoonProtocol
import SparseAttention

/// The memory that a request's tensors may lie in: the frame's own tensor bytes and the connection's arena. This file alone
/// turns offsets that a client sent into pointers, after checking all of them.
struct TensorRegions {
  /// The connection's receive buffer; unchanged until the reply.
  let inline: UnsafeMutableRawBufferPointer
  /// Shared with the client, which may scribble; kept alive by the connection until the reply.
  let arena: UnsafeMutableRawBufferPointer?

  /// Where a tensor of the request lies.
  ///
  /// - Parameters:
  ///   - name: as the message calls it, for the error.
  /// - Throws: `INVALID_ARGUMENT` unless type, sizes, place and alignment hold and every byte lies in its region.
  func view(_ tensor: WireTensor, _ name: String) throws(CallError) -> TensorView {
    guard let type = ElementType(tensor.elementType) else {
      throw CallError(.invalidArgument, "\(name): element type \(tensor.elementType.rawValue) is unknown")
    }
    guard tensor.tokens > 0, tensor.heads > 0, tensor.headDim > 0 else {
      throw CallError(
        .invalidArgument,
        "\(name): [\(tensor.tokens) tokens, \(tensor.heads) heads, \(tensor.headDim) channels] holds nothing")
    }
    guard
      let elements = TensorSize.elements(tokens: tensor.tokens, heads: tensor.heads, headDim: tensor.headDim)
    else {
      throw CallError(
        .invalidArgument,
        "\(name): [\(tensor.tokens) tokens, \(tensor.heads) heads, \(tensor.headDim) channels] is beyond any memory"
      )
    }
    let (region, offset, place) = try region(of: tensor, name)
    let bytes = elements * type.byteCount
    guard offset % UInt64(type.byteCount) == 0 else {
      throw CallError(
        .invalidArgument, "\(name): offset \(offset) is not a multiple of the element size \(type.byteCount)")
    }
    guard TensorSize.fits(offset: offset, bytes: bytes, in: region.count), let start = region.baseAddress
    else {
      throw CallError(
        .invalidArgument,
        "\(name): \(bytes) bytes from offset \(offset) do not lie in the \(region.count) bytes of \(place)")
    }
    // offset ≤ region.count, so it is an Int, and all of the tensor's bytes lie behind it in the region.
    let base = UnsafeRawPointer(start) + Int(offset)
    let (tokens, heads, headDim) = (Int(tensor.tokens), Int(tensor.heads), Int(tensor.headDim))
    switch tensor.layout {
    case .tokenMajor:
      return .tokenMajor(base, elementType: type, tokens: tokens, heads: heads, headDim: headDim)
    case .headMajor:
      return .headMajor(base, elementType: type, tokens: tokens, heads: heads, headDim: headDim)
    case .UNRECOGNIZED(let code):
      throw CallError(.invalidArgument, "\(name): layout \(code) is unknown")
    }
  }

  /// One f32 for each token and head: a tensor of one channel.
  ///
  /// - Throws: `INVALID_ARGUMENT`, as ``view(_:_:)``, and for another type or more channels.
  func sums(_ tensor: WireTensor, _ name: String) throws(CallError) -> LogSumExpView {
    let view = try view(tensor, name)
    guard view.elementType == .float32, view.headDim == 1 else {
      throw CallError(.invalidArgument, "\(name): expected are f32 and one channel")
    }
    // It is only read; the type has no view for reading alone.
    let base = UnsafeMutableRawPointer(mutating: view.base)
    return tensor.layout == .headMajor
      ? .headMajor(base, tokens: view.tokens, heads: view.heads)
      : .tokenMajor(base, tokens: view.tokens, heads: view.heads)
  }

  /// The part of the arena that results are written to.
  func output(at offset: UInt64, bytes: Int) throws(CallError) -> UnsafeMutableRawBufferPointer {
    guard let arena else {
      throw CallError(
        .invalidArgument, "output goes to an arena, and this connection has none: create_arena first")
    }
    guard offset % 4 == 0 else {
      throw CallError(.invalidArgument, "output: offset \(offset) is not a multiple of 4")
    }
    guard TensorSize.fits(offset: offset, bytes: bytes, in: arena.count) else {
      throw CallError(
        .invalidArgument,
        "output: \(bytes) bytes from offset \(offset) do not lie in the \(arena.count) bytes of the arena")
    }
    return UnsafeMutableRawBufferPointer(rebasing: arena[Int(offset)..<Int(offset) + bytes])
  }

  private func region(
    of tensor: WireTensor, _ name: String
  ) throws(CallError) -> (UnsafeMutableRawBufferPointer, UInt64, String) {
    switch tensor.place {
    case .inlineOffset(let offset): return (inline, offset, "the frame's tensors")
    case .arenaOffset(let offset):
      guard let arena else {
        throw CallError(
          .invalidArgument, "\(name) lies in an arena, and this connection has none: create_arena first")
      }
      return (arena, offset, "the arena")
    case nil: throw CallError(.invalidArgument, "\(name) is missing, or has no place")
    }
  }
}

/// Where one attention call's results go: `out` and right behind it the log-sum-exp, f32, laid out as the queries are.
struct ResultRegion {
  let out: MutableTensorView
  let logSumExp: LogSumExpView
  let bytes: UnsafeMutableRawBufferPointer
  let isInArena: Bool
  let offset: UInt64
  private let layout: WireTensor.Layout

  /// Bytes that the results for `queries` take, or nil beyond all memory.
  static func byteCount(for queries: TensorView) -> Int? {
    // TensorSize.elements() left room for 16 bytes an element, and there are at least as many channels as sums.
    let (bytes, overflow) = (queries.tokens * queries.heads).multipliedReportingOverflow(
      by: (queries.headDim + 1) * 4)
    return overflow ? nil : bytes
  }

  /// - Parameter bytes: exactly ``byteCount(for:)`` bytes, writable until the reply is sent.
  init(
    _ bytes: UnsafeMutableRawBufferPointer, for queries: TensorView, layout: WireTensor.Layout,
    isInArena: Bool,
    offset: UInt64
  ) throws(CallError) {
    guard let start = bytes.baseAddress else { throw CallError(.internal, "results have no memory") }
    let outBytes = queries.tokens * queries.heads * queries.headDim * 4
    precondition(bytes.count == outBytes + queries.tokens * queries.heads * 4)
    self.bytes = bytes
    self.isInArena = isInArena
    self.offset = offset
    self.layout = layout
    if layout == .headMajor {
      out = .headMajor(start, tokens: queries.tokens, heads: queries.heads, headDim: queries.headDim)
      logSumExp = .headMajor(start + outBytes, tokens: queries.tokens, heads: queries.heads)
    } else {
      out = .tokenMajor(start, tokens: queries.tokens, heads: queries.heads, headDim: queries.headDim)
      logSumExp = .tokenMajor(start + outBytes, tokens: queries.tokens, heads: queries.heads)
    }
  }

  /// The reply that says where the results are.
  func reply(tokens: Int) -> WireAttentionReply {
    var tensor = WireTensor()
    tensor.elementType = .float32
    tensor.layout = layout
    tensor.tokens = UInt32(out.tokens)
    tensor.heads = UInt32(out.heads)
    tensor.headDim = UInt32(out.headDim)
    tensor.place = isInArena ? .arenaOffset(offset) : .inlineOffset(offset)
    var reply = WireAttentionReply()
    reply.out = tensor
    reply.logSumExpOffset = offset + UInt64(out.tokens * out.heads * out.headDim * 4)
    reply.tokens = UInt64(tokens)
    return reply
  }
}

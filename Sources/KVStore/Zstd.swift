import CZstd

/// A zstd compression context. Confined to the staged tail that owns it.
final class ZstdCompressor {
  private let context: OpaquePointer
  private let level: Int32

  init(level: Int32 = 3) throws(StoreError) {
    guard let context = ZSTD_createCCtx() else { throw StoreError(.internal, "no memory for a zstd context") }
    self.context = context
    self.level = level
  }

  deinit { ZSTD_freeCCtx(context) }

  /// One zstd frame of `source`.
  func compress(_ source: UnsafeRawBufferPointer) throws(StoreError) -> [UInt8] {
    var code = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(source.count)) { buffer, count in
      code = ZSTD_compressCCtx(
        context, buffer.baseAddress, buffer.count, source.baseAddress, source.count, level)
      count = ZSTD_isError(code) == 0 ? code : 0
    }
    guard ZSTD_isError(code) == 0 else {
      throw StoreError(.internal, "zstd: \(String(cString: ZSTD_getErrorName(code)))")
    }
    return bytes
  }

  /// Most bytes that compressing `count` bytes gives.
  static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }
}

/// A zstd decompression context. Confined to the call that owns it.
final class ZstdDecompressor {
  private let context: OpaquePointer

  init() throws(StoreError) {
    guard let context = ZSTD_createDCtx() else { throw StoreError(.internal, "no memory for a zstd context") }
    self.context = context
  }

  deinit { ZSTD_freeDCtx(context) }

  /// - Returns: whether `source` is one frame of exactly `destination.count` bytes.
  func decompress(_ source: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer) -> Bool {
    let code = ZSTD_decompressDCtx(
      context, destination.baseAddress, destination.count, source.baseAddress, source.count)
    return ZSTD_isError(code) == 0 && code == destination.count
  }
}

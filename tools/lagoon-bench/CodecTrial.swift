import CZstd
import Foundation
import Kernels
import ToolSupport

/// One way to compress frames of rows: a zstd level, with or without byte planes, with or without a trained dictionary.
struct CodecTrial {
  let level: Int32
  let planes: Bool
  /// Bytes of a dictionary that is trained on every eighth frame; 0: none.
  let dictionaryBytes: Int

  var name: String {
    "zstd \(level)\(planes ? ", planes" : "")\(dictionaryBytes > 0 ? ", dictionary of \(dictionaryBytes / 1024) KiB" : "")"
  }

  struct Result {
    /// Bytes before by bytes after, the dictionary not counted.
    var ratio: Double
    /// Bytes of rows per second.
    var compressRate: Double
    var decompressRate: Double
  }

  /// - Parameters:
  ///   - frames: of equal size.
  ///   - elementBytes: of a row's element.
  func run(_ frames: [[UInt8]], elementBytes: Int) throws -> Result {
    let content = frames.map { planes ? Self.split($0, elementBytes) : $0 }
    let dictionary = dictionaryBytes > 0 ? try train(content) : []
    guard let compressor = ZSTD_createCCtx(), let decompressor = ZSTD_createDCtx() else {
      throw ToolError("no memory for zstd")
    }
    defer {
      ZSTD_freeCCtx(compressor)
      ZSTD_freeDCtx(decompressor)
    }
    // Digested once, as a store would.
    let forCompression = ZSTD_createCDict(dictionary, dictionary.count, level)
    let forDecompression = ZSTD_createDDict(dictionary, dictionary.count)
    defer {
      ZSTD_freeCDict(forCompression)
      ZSTD_freeDDict(forDecompression)
    }
    var packed = [[UInt8]]()
    let compressing = try seconds {
      for frame in frames {
        // Splitting is part of the work.
        let content = planes ? Self.split(frame, elementBytes) : frame
        var code = 0
        packed.append(
          [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(content.count)) { buffer, count in
            code = ZSTD_compress_usingCDict(
              compressor, buffer.baseAddress, buffer.count, content, content.count, forCompression)
            count = ZSTD_isError(code) == 0 ? code : 0
          })
        try Self.check(code)
      }
    }
    var restored = [UInt8](repeating: 0, count: frames.first?.count ?? 0)
    var rows = restored
    let decompressing = try seconds {
      for (frame, bytes) in zip(frames, packed) {
        try Self.check(
          ZSTD_decompress_usingDDict(
            decompressor, &restored, restored.count, bytes, bytes.count, forDecompression))
        if planes { lagoon_join_planes(restored, elementBytes, restored.count / elementBytes, &rows) }
        guard (planes ? rows : restored) == frame else { throw ToolError("\(name) did not restore a frame") }
      }
    }
    let bytes = Double(frames.reduce(0) { $0 + $1.count })
    return Result(
      ratio: bytes / Double(packed.reduce(0) { $0 + $1.count }), compressRate: bytes / compressing,
      decompressRate: bytes / decompressing)
  }

  private static func split(_ frame: [UInt8], _ elementBytes: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: frame.count) { buffer, count in
      guard let target = buffer.baseAddress else { return }
      lagoon_split_planes(frame, elementBytes, frame.count / elementBytes, target)
      count = frame.count
    }
  }

  private func train(_ frames: [[UInt8]]) throws -> [UInt8] {
    let samples = stride(from: 0, to: frames.count, by: 8).map { frames[$0] }
    var dictionary = [UInt8](repeating: 0, count: dictionaryBytes)
    let code = ZDICT_trainFromBuffer(
      &dictionary, dictionary.count, samples.flatMap { $0 }, samples.map(\.count), UInt32(samples.count))
    guard ZDICT_isError(code) == 0 else {
      throw ToolError("\(name): \(String(cString: ZDICT_getErrorName(code)))")
    }
    return Array(dictionary.prefix(code))
  }

  private static func check(_ code: Int) throws {
    guard ZSTD_isError(code) == 0 else {
      throw ToolError("zstd: \(String(cString: ZSTD_getErrorName(code)))")
    }
  }
}

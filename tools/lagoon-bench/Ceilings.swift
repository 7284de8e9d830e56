import CLMDB
import Foundation
import Synchronization
import ToolSupport

/// How fast this machine can do the least that a benchmark has to do.
enum Ceiling {
  /// Bytes per second that `threads` threads read together from `bytes` of memory, median of `rounds`.
  final class MemoryRead {
    private let buffer: UnsafeMutableRawBufferPointer
    private let threads: Int

    init(bytes: Int, threads: Int) {
      buffer = .allocate(byteCount: bytes, alignment: 4096)
      buffer.initializeMemory(as: UInt8.self, repeating: 1)
      self.threads = threads
    }
    deinit { buffer.deallocate() }

    /// One pass over the whole buffer, in bytes per second.
    func measure() -> Double {
      let slice = buffer.count / threads / 512 * 512
      return measure { thread in [(thread * slice, slice)] }
    }

    /// One pass over pages, each at one of `places[thread]`, in that order.
    func measure(pages places: [[Int]]) -> Double {
      precondition(places.count == threads)
      return measure { thread in places[thread].map { ($0, 4096) } }
    }

    private func measure(_ parts: (_ thread: Int) -> [(offset: Int, bytes: Int)]) -> Double {
      let all = (0..<threads).map(parts)
      let sink = Atomic<UInt64>(0)
      let read = Atomic<Int>(0)
      // The address travels as an integer because pointers aren't Sendable; the buffer outlives the concurrent loop below.
      let address = UInt(bitPattern: buffer.baseAddress)
      let time = seconds {
        DispatchQueue.concurrentPerform(iterations: threads) { thread in
          guard let base = UnsafeRawPointer(bitPattern: address) else { return }
          var (sum, total): (UInt64, Int) = (0, 0)
          for (offset, bytes) in all[thread] {
            sum ^= Self.fold(base + offset, bytes: bytes)
            total += bytes
          }
          sink.wrappingAdd(sum, ordering: .relaxed)
          read.wrappingAdd(total, ordering: .relaxed)
        }
      }
      precondition(sink.load(ordering: .relaxed) != 1)  // keeps the reads from being optimised away
      return Double(read.load(ordering: .relaxed)) / time
    }

    /// Reads `bytes` (a multiple of 512) with eight independent 64-byte accumulators.
    private static func fold(_ base: UnsafeRawPointer, bytes: Int) -> UInt64 {
      typealias Line = SIMD8<UInt64>
      var (a, b, c, d) = (Line.zero, Line.zero, Line.zero, Line.zero)
      var (e, f, g, h) = (Line.zero, Line.zero, Line.zero, Line.zero)
      var offset = 0
      while offset < bytes {
        let at = base + offset
        a ^= at.load(fromByteOffset: 0, as: Line.self)
        b ^= at.load(fromByteOffset: 64, as: Line.self)
        c ^= at.load(fromByteOffset: 128, as: Line.self)
        d ^= at.load(fromByteOffset: 192, as: Line.self)
        e ^= at.load(fromByteOffset: 256, as: Line.self)
        f ^= at.load(fromByteOffset: 320, as: Line.self)
        g ^= at.load(fromByteOffset: 384, as: Line.self)
        h ^= at.load(fromByteOffset: 448, as: Line.self)
        offset += 512
      }
      return ((a ^ b) ^ (c ^ d) ^ ((e ^ f) ^ (g ^ h))).wrappedSum()
    }
  }

  /// Plain LMDB puts: `values` records of `valueBytes` a transaction, under the flags of a durability mode.
  final class PlainPuts {
    private var environment: OpaquePointer?
    private var database: MDB_dbi = 0
    private var next: UInt64 = 0
    private let value: [UInt8]
    private let directory: URL

    init(valueBytes: Int, durability: String, directory: URL) throws {
      value = [UInt8](repeating: 7, count: valueBytes)
      self.directory = directory
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
      let durabilityFlags: [String: Int32] = ["process": MDB_NOSYNC, "ordered": MDB_NOMETASYNC, "full": 0]
      let flags = UInt32(durabilityFlags[durability, default: 0] | MDB_NOTLS)
      try check(mdb_env_create(&environment))
      try check(mdb_env_set_mapsize(environment, 8 << 30))
      try check(mdb_env_open(environment, directory.path, flags, 0o600))
      try transaction { try check(mdb_dbi_open($0, nil, 0, &database)) }
    }

    deinit { mdb_env_close(environment) }

    /// Seconds that one transaction of `values` puts takes, commit included.
    func measure(values: Int) throws -> Double {
      try seconds {
        try transaction { transaction in
          for _ in 0..<values { try put(transaction) }
        }
      }
    }

    private func put(_ transaction: OpaquePointer?) throws {
      var key = next.bigEndian
      next += 1
      try value.withUnsafeBytes { bytes in
        try withUnsafeMutableBytes(of: &key) { keyBytes in
          var k = MDB_val(mv_size: keyBytes.count, mv_data: keyBytes.baseAddress)
          // LMDB only reads through mv_data in a put.
          var v = MDB_val(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
          try check(mdb_put(transaction, database, &k, &v, 0))
        }
      }
    }

    private func transaction(_ body: (OpaquePointer?) throws -> Void) throws {
      var transaction: OpaquePointer?
      try check(mdb_txn_begin(environment, nil, 0, &transaction))
      do {
        try body(transaction)
      } catch {
        mdb_txn_abort(transaction)
        throw error
      }
      try check(mdb_txn_commit(transaction))
    }

    private func check(_ code: Int32) throws {
      guard code == 0 else { throw ToolError("LMDB: \(String(cString: mdb_strerror(code)))") }
    }
  }

  /// Plain writes of slabs over a file that is in the page cache.
  final class PlainWrites {
    private let file: FileHandle
    private let slab = [UInt8](repeating: 7, count: 17 * 4096)
    private let places: Int
    private var next = 0

    init(bytes: Int, directory: URL) throws {
      let path = directory.appendingPathComponent("plain").path
      guard FileManager.default.createFile(atPath: path, contents: nil),
        let file = FileHandle(forUpdatingAtPath: path)
      else { throw ToolError("\(path) can't be written") }
      self.file = file
      places = max(1, bytes / slab.count)
      for place in 0..<places { try write(place) }
    }

    /// Seconds that `count` slabs take, each to the next one of the first `places`, or of all, in turns.
    func measure(_ count: Int, places: Int? = nil) throws -> Double {
      try seconds {
        for _ in 0..<count {
          try write(next % min(places ?? self.places, self.places))
          next += 1
        }
      }
    }

    private func write(_ place: Int) throws {
      guard pwrite(file.fileDescriptor, slab, slab.count, off_t(place * slab.count)) == slab.count else {
        throw ToolError("a plain write failed: \(String(cString: strerror(errno)))")
      }
    }
  }
}

import Kernels
import TestSupport

/// Runs `body` with each SIMD target of this CPU in turn; only this thread is switched.
func onEveryTarget(_ body: (_ target: String) throws -> Void) rethrows {
  defer { lagoon_set_thread_target(-1) }
  for index in 0..<lagoon_target_count() {
    lagoon_set_thread_target(index)
    try body(String(cString: lagoon_target_name()))
  }
}

extension SeededGenerator {
  /// About normal, times `scale`.
  mutating func float(scale: Float = 1) -> Float {
    var sum: Float = 0
    for _ in 0..<4 { sum += Float.random(in: -1...1, using: &self) }
    return sum * scale * 0.87
  }

  mutating func floats(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in float(scale: scale) }
  }
}

let types: [(code: UInt8, bytes: Int)] = [
  (UInt8(LAGOON_F32), 4), (UInt8(LAGOON_BF16), 2), (UInt8(LAGOON_F16), 2),
]

func byteCount(of type: UInt8) -> Int { types.first { $0.code == type }?.bytes ?? 0 }

/// Elements of a type at a chosen offset from an aligned address.
final class Elements {
  let base: UnsafeMutableRawPointer
  private let allocation: UnsafeMutableRawPointer

  init(byteCount: Int, misalignedBy offset: Int = 0) {
    allocation = .allocate(byteCount: max(1, byteCount + offset), alignment: 64)
    base = allocation + offset
    base.initializeMemory(as: UInt8.self, repeating: 0xA5, count: byteCount)
  }

  convenience init(_ floats: [Float], as type: UInt8, misalignedBy offset: Int = 0) {
    self.init(byteCount: floats.count * byteCount(of: type), misalignedBy: offset)
    lagoon_convert_scalar(floats, UInt8(LAGOON_F32), base, type, floats.count)
  }

  deinit { allocation.deallocate() }

  func bytes(_ count: Int) -> [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: count)) }
}

/// What `type` holds of these values, as f32.
func rounded(_ floats: [Float], to type: UInt8) -> [Float] {
  let elements = Elements(floats, as: type)
  var result = [Float](repeating: 0, count: floats.count)
  lagoon_convert_scalar(elements.base, type, &result, UInt8(LAGOON_F32), floats.count)
  return result
}

func bits(_ floats: [Float]) -> [UInt32] { floats.map(\.bitPattern) }

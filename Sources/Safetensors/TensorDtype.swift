/// The element types of safetensors that Lagoon reads and writes; raw values are the format's own names.
public enum TensorDtype: String, Sendable, Hashable, CaseIterable {
  case float64 = "F64"
  case float32 = "F32"
  case bfloat16 = "BF16"
  case float16 = "F16"
  case int64 = "I64"
  case int32 = "I32"
  case uint8 = "U8"
  case bool = "BOOL"

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    case .uint8, .bool: 1
    }
  }

  /// Whether `SafetensorsFile.floats` reads it.
  public var isFloat: Bool {
    switch self {
    case .float64, .float32, .bfloat16, .float16: true
    case .int64, .int32, .uint8, .bool: false
    }
  }
}

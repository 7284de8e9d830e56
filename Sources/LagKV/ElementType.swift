/// What the elements of keys, values and queries are. The raw values are those of the kernels, of the wire and
/// of the stored records.
public enum ElementType: UInt8, Sendable, CaseIterable, Codable {
  /// IEEE binary32, 4 bytes.
  case float32 = 0
  /// The upper half of a binary32, 2 bytes.
  case bfloat16 = 1
  /// IEEE binary16, 2 bytes.
  case float16 = 2

  /// Bytes of one element.
  public var byteCount: Int { self == .float32 ? 4 : 2 }

  /// `f32`, `bf16` or `f16`.
  public var name: String {
    switch self {
    case .float32: "f32"
    case .bfloat16: "bf16"
    case .float16: "f16"
    }
  }

  /// The type with this ``name``.
  public init?(name: String) {
    guard let type = ElementType.allCases.first(where: { $0.name == name }) else { return nil }
    self = type
  }
}

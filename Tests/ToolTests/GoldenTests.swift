import Foundation
import Testing

/// `lagoon-bench golden` through a real daemon: every case passes, and a changed case does not.
struct GoldenTests {
  private static let folder = URL(filePath: Program.root).appending(path: "Tests/Fixtures/golden")

  @Test func everyCasePasses() throws {
    let run = try Program.run("lagoon-bench", ["golden", Self.folder.path])
    #expect(run.status == 0, "\(run.output)\(run.errors)")
    #expect(run.output.contains("22 of 22 cases pass"), "\(run.output)")
  }

  /// One wrong position, output, gradient of the log-sum-exp or of a key: the check must notice each.
  @Test(arguments: [
    ("retained", "e_h8_d16_s2_l8_r0.75_t61"), ("out", "e_h8_d16_s2_l8_r0.75_t61"),
    ("u", "lrsa_dlse_h1_hq2_d16_s3_l10_r0.3_t67"), ("dk", "lrsa_bf16_h2_d16_s4_l8_r0.5_t61"),
  ])
  func aChangedCaseMisses(tensor: String, name: String) throws {
    let copy = FileManager.default.temporaryDirectory
      .appendingPathComponent("lagoon-golden-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: copy, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: copy) }
    let json = "\(name).json"
    try FileManager.default.copyItem(
      at: Self.folder.appendingPathComponent(json), to: copy.appendingPathComponent(json))
    var data = try Data(contentsOf: Self.folder.appendingPathComponent("\(name).safetensors"))
    let at = try offset(of: tensor, in: data)
    data[at + 2] ^= 0x20  // an exponent bit of a float, 2²¹ of a position
    try data.write(to: copy.appendingPathComponent("\(name).safetensors"))
    let run = try Program.run("lagoon-bench", ["golden", copy.path])
    #expect(run.status == 1, "\(run.errors)")
    #expect(run.output.contains("MISS  \(name)"), "\(run.output)")
  }

  /// Where a tensor's bytes start in a safetensors file.
  private func offset(of tensor: String, in data: Data) throws -> Int {
    let length = data.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let header = try #require(
      try JSONSerialization.jsonObject(with: data.dropFirst(8).prefix(length)) as? [String: Any])
    let entry = try #require(header[tensor] as? [String: Any])
    let offsets = try #require(entry["data_offsets"] as? [Int])
    return 8 + length + offsets[0]
  }
}

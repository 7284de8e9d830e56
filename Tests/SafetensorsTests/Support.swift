import Foundation
import Safetensors

/// A folder of a test's own, removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lagoon-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

/// A file of the given header text and data; `length` overrides the true header length.
func safetensors(_ header: String, data: [UInt8] = [], length: UInt64? = nil) -> [UInt8] {
  let json = Array(header.utf8)
  return withUnsafeBytes(of: (length ?? UInt64(json.count)).littleEndian) { Array($0) } + json + data
}

func open(_ bytes: [UInt8]) throws -> SafetensorsFile {
  try withTemporaryFolder { folder in
    let path = folder + "/file.safetensors"
    try Data(bytes).write(to: URL(fileURLWithPath: path))
    return try SafetensorsFile(path: path)
  }
}

/// The error of opening these bytes, or nil when they open.
func refusal(_ bytes: [UInt8]) throws -> SafetensorsError? {
  do {
    _ = try open(bytes)
    return nil
  } catch let error as SafetensorsError {
    return error
  }
}

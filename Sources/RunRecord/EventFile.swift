import Foundation

/// A file of scalars that TensorBoard shows: `events.out.tfevents.<unix seconds>.<host>.<pid>.lagoon`.
struct EventFile: ~Copyable {
  private var file: AppendFile

  private init(_ file: consuming AppendFile) {
    self.file = file
  }

  /// Begins a new file, which TensorBoard reads after those that the folder has.
  ///
  /// - Parameters:
  ///   - firstStep: of earlier files TensorBoard shows what is before it.
  ///   - now: seconds since 1970.
  static func create(folder: String, firstStep: Int, now: Double) throws(RunRecordError) -> EventFile {
    let prefix = "events.out.tfevents."
    // TensorBoard reads the files of a folder in order of their names. A file of the same second, or of a clock that went back
    // since, has to stay an earlier one.
    let earlier = try names(in: folder).compactMap { name in
      name.hasPrefix(prefix) ? Int(name.dropFirst(prefix.count).prefix { $0 != "." }) : nil
    }
    let seconds = max(Int(now), (earlier.max() ?? 0) + 1)
    let digits = String(seconds)
    let padded = String(repeating: "0", count: max(0, 10 - digits.count)) + digits
    let path = "\(folder)/\(prefix)\(padded).\(hostName()).\(getpid()).lagoon"
    var file = EventFile(try AppendFile.open(path, flags: O_EXCL))
    try file.append(
      [
        EventMessage(wallTime: now, step: 0, content: .fileVersion),
        EventMessage(wallTime: now, step: firstStep, content: .start),
      ])
    return file
  }

  mutating func append(_ messages: [EventMessage]) throws(RunRecordError) {
    try file.append(messages.flatMap(\.record))
  }

  func synchronize() throws(RunRecordError) { try file.synchronize() }

  private static func names(in folder: String) throws(RunRecordError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder)
    } catch {
      throw RunRecordError(.io, "cannot list the folder: \(error.localizedDescription)", path: folder)
    }
  }

  private static func hostName() -> String {
    var bytes = [CChar](repeating: 0, count: 256)
    // The last byte stays 0, however long the name is.
    guard gethostname(&bytes, bytes.count - 1) == 0 else { return "localhost" }
    let name = String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let plain = name.filter { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-") }
    return plain.isEmpty ? "localhost" : plain
  }
}

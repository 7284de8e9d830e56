import DurableFiles
import Foundation

/// Takes back what a run recorded after the checkpoint from which it goes on.
enum MetricsCut {
  /// Removes every record of a later step, and a last line without its end, from a file of metrics. The kept lines stay byte for
  /// byte as they are; the new file takes the old one's place in one piece.
  ///
  /// - Parameter step: the checkpoint's; 0 removes everything.
  /// - Throws: `malformed` for a line within the file that is not a record; then nothing was changed.
  static func cut(_ path: String, through step: Int) throws(RunRecordError) {
    guard var reader = try LineReader.open(path) else { return }
    let temporary = path + ".tmp"
    // What a cut that died has left is of no use.
    unlink(temporary)
    do throws(RunRecordError) {
      var output = try AppendFile.open(temporary, flags: O_EXCL)
      var pending: [UInt8] = []
      var isCut = false
      while let line = try reader.next() {
        guard step > 0, !line.isTorn,
          try RunRecord(line: line.bytes, number: line.number, path: path).step <= step
        else {
          isCut = true
          if step == 0 { break }
          continue
        }
        pending += line.bytes
        pending.append(UInt8(ascii: "\n"))
        if pending.count >= 1 << 16 {
          try output.append(pending)
          pending.removeAll(keepingCapacity: true)
        }
      }
      guard isCut else {
        unlink(temporary)
        return
      }
      try output.append(pending)
      try output.synchronize()
    } catch {
      unlink(temporary)
      throw error
    }
    guard rename(temporary, path) == 0 else {
      let error = RunRecordError.system("cannot rename \(temporary)", path)
      unlink(temporary)
      throw error
    }
    do throws(FileError) {
      try AtomicFile.syncFolder(of: path)
    } catch {
      throw RunRecordError(.io, error.message, path: error.path, systemCode: error.systemCode)
    }
  }
}

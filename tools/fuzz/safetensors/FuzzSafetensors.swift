import Foundation
import FuzzDriver
import Safetensors

/// Any bytes as a safetensors file: views inside of it, or a `SafetensorsError`.
@main enum FuzzSafetensors {
  /// In memory where there is a place for it: the file is written anew for each input.
  private static let path =
    (FileManager.default.isWritableFile(atPath: "/dev/shm")
      ? "/dev/shm" : FileManager.default.temporaryDirectory.path) + "/fuzz-\(getpid()).safetensors"

  static func main() {
    let status = fuzz { bytes, count in
      FuzzSafetensors.open(UnsafeRawBufferPointer(start: bytes, count: count))
      return 0
    }
    unlink(path)
    exit(status)
  }

  private static func open(_ bytes: UnsafeRawBufferPointer) {
    let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    precondition(descriptor >= 0 && write(descriptor, bytes.baseAddress, bytes.count) == bytes.count)
    close(descriptor)
    do throws(SafetensorsError) {
      let file = try SafetensorsFile(path: path)
      var total = 0
      for name in file.names {
        let slice = try file.tensor(name)
        total += slice.bytes.count
        let read = slice.dtype.isFloat ? slice.floats().count : try file.integers(name).count
        precondition(read == slice.count)
      }
      precondition(total == file.dataBytes)
    } catch {
      precondition(!error.description.isEmpty)
    }
  }
}

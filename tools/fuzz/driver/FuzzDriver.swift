import CLibFuzzer
import Foundation

/// Hands the command line to libFuzzer, which calls `target` with inputs until a limit is reached or it crashes.
///
/// - Parameter target: gets the input's address and length, good for as long as the call takes; returns 0.
/// - Returns: the exit status.
public func fuzz(_ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt) -> CInt {
  var count = CommandLine.argc
  var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
  return LLVMFuzzerRunDriver(&count, &arguments, target)
}

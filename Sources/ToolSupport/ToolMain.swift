import ArgumentParser
import CPosix
import Foundation

extension ParsableCommand {
  /// What a tool's `main` does: parses the command line and runs the command, or ends with its error.
  public static func runTool() {
    let failure = lagoon_open_standard_descriptors()
    do {
      guard failure == 0 else {
        throw ToolError("cannot open /dev/null: \(String(cString: strerror(-failure)))")
      }
      var command = try parseAsRoot()
      try command.run()
    } catch {
      // After Ctrl-C whatever failed did so because of it, and the signal's handler ends the process.
      ExitCleanup.waitIfEnding()
      if error as? ToolError == Output.readerGone { ExitCleanup.endBySignal(SIGPIPE) }
      exit(withError: error)
    }
  }
}

import Foundation
import Testing

/// Tools that are started without standard input, output or error: what they open must not get its number.
@Suite struct ClosedDescriptorTests {
  @Test func outputDoesNotGoToTheDaemon() throws {
    let sample = try SampleStore()
    for arguments in [["verify", "--json"], ["list"]] {
      let run = try Program.run(
        "lagoon", arguments + ["--socket", sample.daemon.socketPath], shell: "exec \"$@\" >&-")
      // As of other programs: the output was asked for and is lost.
      #expect(run.status == 1 && run.errors.contains("cannot write the output: Bad file descriptor"))
    }
    let all = try Program.run(
      "lagoon", ["show", "nobody", "--socket", sample.daemon.socketPath], shell: "exec \"$@\" <&- >&- 2>&-")
    #expect(all.status == 1)
    #expect(try sample.lagoon("list").status == 0)
  }

  @Test func missingInputIsEmpty() throws {
    let run = try Program.run(
      "lagoon-lm", ["tokenize", Program.root + "/data/kjv-tiny", "--text", "-"], shell: "exec \"$@\" <&-")
    #expect(run.status == 0 && run.output == "[]\n", "\(run.errors)")
  }
}

import Foundation

/// Threads of OpenMP, with which oneDNN multiplies, spin between matmuls for milliseconds by default, and spin at barriers
/// while the thread they wait for has no core. Beside a daemon that computes on the same cores that is ruinous: 32,768 tokens
/// took 131 s spinning and 17 s sleeping, on two cores with other work.
public enum PassiveThreads {
  /// Makes waiting threads sleep: runs the program again, in this process, with `OMP_WAIT_POLICY=passive` in the environment,
  /// because libgomp reads it before `main`. Returns when it is set already, by us or by the user. To be called first.
  public static func prefer() {
    guard getenv("OMP_WAIT_POLICY") == nil else { return }
    setenv("OMP_WAIT_POLICY", "passive", 0)
    // execv wants a null-terminated array of C strings, alive until it returns, which it does only on failure: then the
    // program goes on as it is, slower.
    var arguments = CommandLine.arguments.map { strdup($0) }
    arguments.append(nil)
    execv("/proc/self/exe", arguments)
    for argument in arguments { free(argument) }
  }
}

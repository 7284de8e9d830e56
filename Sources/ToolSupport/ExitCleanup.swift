import CPosix
import Dispatch
import Foundation
import Synchronization

/// What must be undone when a tool ends, however it ends short of SIGKILL: normally, by an error, by Ctrl-C, by SIGTERM.
public enum ExitCleanup {
  private struct State: Sendable {
    var next = 0
    var actions: [Int: @Sendable () -> Void] = [:]
    var installed = false
    var signal: Int32?
  }

  private static let state = Mutex(State())

  /// A registered action.
  public struct Token: Sendable {
    fileprivate let id: Int
  }

  /// Registers an action and, the first time, the handlers: SIGINT, SIGTERM and SIGHUP run the actions and end the process
  /// with code 128 + signal, unless the process was started with the signal ignored, as by nohup(1); SIGPIPE is ignored, so
  /// that writing to a closed pipe is an error, after which `runTool` cleans up too.
  public static func add(_ action: @escaping @Sendable () -> Void) -> Token {
    let (token, first) = state.withLock { state in
      let first = !state.installed
      state.installed = true
      state.next += 1
      state.actions[state.next] = action
      return (Token(id: state.next), first)
    }
    if first { install() }
    return token
  }

  /// The signal that is ending the process, if one is. Long work asks between its steps and stops with
  /// `throwIfEnding`, so that it can undo what it holds.
  public static var endingSignal: Int32? { state.withLock { $0.signal } }

  /// - Throws: `Interrupted` when a signal is ending the process.
  public static func throwIfEnding() throws(Interrupted) {
    if let signal = endingSignal { throw Interrupted(signal: signal) }
  }

  /// The process is ending by a signal.
  public struct Interrupted: Error, Sendable, CustomStringConvertible {
    public let signal: Int32
    public var description: String { "interrupted" }
  }

  /// Runs `body`; a signal that arrives meanwhile ends the process only when `body` has returned, or after so many seconds.
  /// For work that asks `throwIfEnding` and undoes what it did.
  public static func finishing<Result>(withinSeconds seconds: Double, _ body: () throws -> Result) rethrows
    -> Result
  {
    let done = DispatchSemaphore(value: 0)
    let token = add { _ = done.wait(timeout: .now() + seconds) }
    defer {
      done.signal()
      remove(token)
    }
    return try body()
  }

  /// Blocks for good when a signal is ending the process: its handler does the rest.
  public static func waitIfEnding() {
    while endingSignal != nil { pause() }
  }

  /// Forgets an action without running it.
  public static func remove(_ token: Token) {
    state.withLock { _ = $0.actions.removeValue(forKey: token.id) }
  }

  /// Runs all actions and ends the process as the signal does by default.
  static func endBySignal(_ number: Int32) -> Never {
    run()
    signal(number, SIG_DFL)
    raise(number)
    // Where it is blocked.
    _exit(128 + number)
  }

  /// Runs and forgets all actions, latest first.
  public static func run() {
    let actions = state.withLock { state in
      defer { state.actions = [:] }
      return state.actions.sorted { $0.key > $1.key }.map(\.value)
    }
    for action in actions { action() }
  }

  private static func install() {
    signal(SIGPIPE, SIG_IGN)
    atexit {
      // A main thread that ends meanwhile must not end the process before the signal's handler is done.
      ExitCleanup.waitIfEnding()
      ExitCleanup.run()
    }
    let queue = DispatchQueue(label: "lagoon.exit-cleanup")
    for number in [SIGINT, SIGTERM, SIGHUP] where lagoon_ignores_signal(number) != 1 {
      // The default action ends the process until the source is at work. A handler, because children inherit SIG_IGN.
      signal(number) { _ in }
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        state.withLock { $0.signal = number }
        // The handler holds its source, which would otherwise end with this function.
        withExtendedLifetime(source) { ExitCleanup.run() }
        _exit(128 + number)
      }
      source.resume()
    }
  }
}

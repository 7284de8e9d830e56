import ClaimExperiment
import Foundation
import ToolSupport

/// Runs stages as programs, several at a time, each when those that it needs have finished.
final class StageRunner {
  private let folder: ResultsFolder
  private let program: String
  private let jobs: Int
  private let threads: Int
  private var pace = Pace()
  private var running: [RunningStage] = []
  private var waitingFor: Set<String> = []

  /// - Parameters:
  ///   - program: `lagoon-train`.
  ///   - threads: of each program's matmuls.
  init(folder: ResultsFolder, program: String, jobs: Int, threads: Int) {
    self.folder = folder
    self.program = program
    self.jobs = jobs
    self.threads = threads
  }

  /// Runs what has not finished yet.
  ///
  /// - Parameter later: stages of a later call, for the time that is left.
  /// - Throws: what a program said when it failed; the others are stopped, and can go on another time.
  func run(_ stages: [Stage], later: [Stage]) throws {
    var finished: Set<String> = []
    for stage in stages {
      guard let seconds = try folder.seconds(of: stage) else { continue }
      finished.insert(stage.name)
      pace.add(stage, seconds: seconds)
    }
    var left = stages.filter { !finished.contains($0.name) }
    let line = StatusLine(total: stages.count + later.count)
    defer { line.finish() }
    try ExitCleanup.finishing(withinSeconds: 75) {
      defer { stop() }
      while !left.isEmpty || !running.isEmpty {
        try ExitCleanup.throwIfEnding()
        for ended in running.filter({ !$0.process.isRunning }) {
          running.removeAll { $0.stage.name == ended.stage.name }
          let seconds = try ended.finish(in: folder)
          finished.insert(ended.stage.name)
          pace.add(ended.stage, seconds: seconds)
          line.say("\(ended.stage.name): \(Units.seconds(seconds))")
        }
        try start(&left, finished)
        line.update(
          done: finished.count, running: running.map { $0.news() },
          secondsLeft: pace.seconds(left + later, running: running.map { ($0.stage, $0.seconds) })
            / Double(jobs))
        usleep(100_000)
      }
    }
  }

  /// Starts as many as there is room for.
  private func start(_ left: inout [Stage], _ finished: Set<String>) throws {
    while running.count < jobs {
      var started: RunningStage?
      for stage in left where stage.needs.allSatisfy(finished.contains) {
        started = try RunningStage(stage, program: program, threads: threads, folder: folder.path)
        if started != nil { break }
        // An earlier run was killed and left its program behind, which ends by itself.
        if waitingFor.insert(stage.name).inserted {
          Output.note("\(stage.name): a program of an earlier run is still at it; waiting for its end")
        }
      }
      guard let started else { return }
      left.removeAll { $0.name == started.stage.name }
      running.append(started)
    }
  }

  /// Asks what is running to end, as Ctrl-C does, and waits for it. By SIGTERM: what a script has in its background is started
  /// with SIGINT ignored.
  private func stop() {
    for stage in running where stage.process.isRunning { kill(stage.process.processIdentifier, SIGTERM) }
    for stage in running { stage.process.waitUntilExit() }
    running = []
  }
}

/// Seconds of a token of each kind of stage.
struct Pace {
  /// Measured on two cores, until something has been measured here.
  private static let usual: [Stage.Kind: Double] = [.plant: 1e-6, .train: 3e-4, .evaluate: 2.5e-4]
  private var seconds: [Stage.Kind: Double] = [:]
  private var work: [Stage.Kind: Double] = [:]

  mutating func add(_ stage: Stage, seconds: Double) {
    self.seconds[stage.kind, default: 0] += seconds
    work[stage.kind, default: 0] += stage.work
  }

  /// Of stages one after the other.
  func seconds(_ stages: [Stage], running: [(Stage, Double)]) -> Double {
    stages.reduce(0.0) { $0 + seconds($1) }
      + running.reduce(0.0) { $0 + max(0, seconds($1.0) - $1.1) }
  }

  private func seconds(_ stage: Stage) -> Double {
    guard let done = work[stage.kind], done > 0, let seconds = seconds[stage.kind] else {
      return stage.work * (Self.usual[stage.kind] ?? 0)
    }
    return stage.work * seconds / done
  }
}

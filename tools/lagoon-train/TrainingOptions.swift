import ArgumentParser
import LRSATraining
import TrainingData

/// What is trained on.
struct DataOptions: ParsableArguments {
  @Option(
    name: .customLong("data"),
    help: ArgumentHelp(
      "Text (.txt), records (.jsonl) or a folder of them; repeat it for a mix, with weights as PATH=WEIGHT.",
      discussion: """
        A line of a .jsonl file is {"text": …}, {"tokens": […]} or {"context": …, "question": …, "answer": …}.
        """, valueName: "path"))
  var sources: [String]

  @Option(help: ArgumentHelp("Tokens of a document; longer texts are cut.", valueName: "tokens"))
  var length: Int?

  @Option(
    help: ArgumentHelp(
      "Tokens whose prediction counts: all, or answer (default: the answer of a question, everything else).",
      valueName: "scope"))
  var loss: LossScope?

  @Option(help: ArgumentHelp("Last share of every source that is held out, 0..<1.", valueName: "share"))
  var holdOut = 0.0

  @Flag(help: "Leave lines that cannot be used out instead of ending; they are reported.")
  var skipBad = false
}

extension LossScope: ExpressibleByArgument {}

/// How weights follow their gradients.
struct OptimizerOptions: ParsableArguments {
  @Option(help: "Optimiser steps of the whole run.")
  var steps = 500

  @Option(help: ArgumentHelp("Documents of a step.", valueName: "count"))
  var documentsPerStep = 1

  @Option(
    help: ArgumentHelp(
      "Documents that go through the model together (default: those of a step, at most 4).",
      valueName: "count"))
  var together: Int?

  @Option(help: "Learning rate at the end of the warm-up.")
  var learningRate = 3e-4

  @Option(
    help: ArgumentHelp(
      "Steps in which the learning rate rises (default: a tenth of all, at most 50).", valueName: "steps"))
  var warmUp: Int?

  @Option(
    help: ArgumentHelp("Learning rate of the last step, as a share of the highest.", valueName: "share"))
  var finalShare = 0.1

  @Option(help: "Decay of matrices, per unit of learning rate; norms and biases do not decay.")
  var weightDecay = 0.1

  @Option(help: "Decay of the running mean of gradients.")
  var beta1 = 0.9

  @Option(help: "Decay of the running mean of their squares.")
  var beta2 = 0.95

  @Option(help: "Largest norm of a step's gradient; 0: any.")
  var clip = 1.0

  @Option(
    help: ArgumentHelp(
      "Leave a step out whose loss is above this multiple of the recent median.", valueName: "factor"))
  var skipSpikes: Double?

  func validate() throws {
    func check(_ isGood: Bool, _ message: String) throws {
      if !isGood { throw ValidationError(message) }
    }
    try check(steps >= 1, "--steps \(steps): at least 1 is needed.")
    try check(
      (1...65_536).contains(documentsPerStep), "--documents-per-step \(documentsPerStep) is not in 1...65536."
    )
    if let together { try check((1...64).contains(together), "--together \(together) is not in 1...64.") }
    try check(learningRate.isFinite && learningRate > 0, "--learning-rate \(learningRate) is not above 0.")
    if let warmUp {
      try check((0...steps).contains(warmUp), "--warm-up \(warmUp) is not in 0...\(steps), the run's steps.")
    }
    try check((0...1).contains(finalShare), "--final-share \(finalShare) is not in 0...1.")
    try check(weightDecay.isFinite && weightDecay >= 0, "--weight-decay \(weightDecay) is negative.")
    try check((0..<1).contains(beta1), "--beta1 \(beta1) is not in 0..<1.")
    try check((0..<1).contains(beta2), "--beta2 \(beta2) is not in 0..<1.")
    try check(clip.isFinite && clip >= 0, "--clip \(clip) is negative.")
    if let skipSpikes { try check(skipSpikes > 1, "--skip-spikes \(skipSpikes) is not above 1.") }
  }

  var schedule: LearningRateSchedule {
    LearningRateSchedule(
      peak: learningRate, finalShare: finalShare, warmUpSteps: warmUp ?? min(50, steps / 10), steps: steps)
  }

  var optimizer: AdamW.Settings {
    AdamW.Settings(beta1: beta1, beta2: beta2, weightDecay: weightDecay)
  }
}

/// Where a run is, how it is watched and when it is saved. Nothing here changes its result.
struct RunOptions: ParsableArguments {
  @Option(name: .shortAndLong, help: ArgumentHelp("The run's folder.", valueName: "run"))
  var output: String

  @Flag(help: "Go on with the run in the folder, at its last checkpoint.")
  var resume = false

  @Option(help: ArgumentHelp("Steps between readings of the held-out documents.", valueName: "steps"))
  var evaluateEvery: Int?

  @Option(help: ArgumentHelp("Held-out documents that are read, at most.", valueName: "count"))
  var evaluationDocuments = 16

  @Option(
    help: ArgumentHelp(
      "Least seconds between checkpoints; 0: one after every group of documents.", valueName: "seconds"))
  var checkpointSeconds = 60.0

  @Flag(help: "Print what the run takes and end.")
  var dryRun = false

  @Flag(help: "Print a line for everything that begins, to standard error.")
  var verbose = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    if let evaluateEvery, evaluateEvery < 1 {
      throw ValidationError("--evaluate-every \(evaluateEvery): at least 1 is needed.")
    }
    guard evaluationDocuments >= 1 else {
      throw ValidationError("--evaluation-documents \(evaluationDocuments): at least 1 is needed.")
    }
    guard checkpointSeconds >= 0 else {
      throw ValidationError("--checkpoint-seconds \(checkpointSeconds) is negative.")
    }
  }
}

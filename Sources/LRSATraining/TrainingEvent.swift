import RunRecord

/// What a run tells whoever watches it.
public enum TrainingEvent: Sendable {
  /// A run begins, or goes on, behind this many steps.
  case began(step: Int)
  /// Documents are on their way; `documents` of the step are done before them.
  case pass(step: Int, documents: Int, PassProgress)
  /// The weights are about to change.
  case optimizer(step: Int)
  /// Held-out documents are read: how many are done.
  case evaluating(step: Int, documents: Int)
  /// A checkpoint is about to be written.
  case checkpoint(step: Int)
  case step(StepRecord)
  case evaluation(EvaluationRecord)
  /// Something that people should know: a document tried again, a step left out.
  case note(step: Int, String)
}

/// How a run ended.
public enum TrainingOutcome: Sendable, Hashable {
  /// All steps are done; the result is in its folder.
  case finished
  /// It was asked to stop and can be resumed.
  case stopped(step: Int)
}

import LagKV
import LagoonClient
import RecallTasks

/// What a model recalled under one retention policy.
public struct RecallResult: Sendable, Hashable, Codable {
  public var policy: String
  public var sinks: Int
  public var lag: Int
  public var ratio: Double
  public var documents: Int
  /// Of all documents.
  public var tokens: Int
  public var questions: Int
  /// Of what was asked for, how much was recalled in full, and how much there was.
  public var right: Int
  public var asked: Int
  /// `right` of `asked`, with Wilson's 95% interval.
  public var recall: Proportion
  /// Mean over the questions of the share that was recalled, with what was recalled in part.
  public var meanShare: Double
  /// Mean over the tokens of the right answers of `-log p`, natural logarithm, each behind the question and the right
  /// answer's beginning.
  public var answerNLL: Double
  public var answerTokens: Int
  /// Rows at the documents' ends, windows included, of their tokens, over all layers.
  public var kept: Double
  public var layers: [LayerShare]
  public var seconds: Double
  /// Of every question, in order of documents and places.
  public var outcomes: [RecallOutcome]

  enum CodingKeys: String, CodingKey {
    case policy, sinks, lag, ratio, documents, tokens, questions, right, asked, recall, kept, layers, seconds,
      outcomes
    case meanShare = "mean_share"
    case answerNLL = "answer_nll"
    case answerTokens = "answer_tokens"
  }
}

/// One question's answer.
public struct RecallOutcome: Sendable, Hashable, Codable {
  /// Numbers from 0, of the document among those given and of the question in the document.
  public var document: Int
  public var question: Int
  /// What the model went on with.
  public var answer: String
  public var expected: [String]
  public var score: RecallScore
  /// Sum over the right answer's tokens of `-log p`, natural logarithm.
  public var answerNLL: Double
  public var answerTokens: Int

  enum CodingKeys: String, CodingKey {
    case document, question, answer, expected, score
    case answerNLL = "answer_nll"
    case answerTokens = "answer_tokens"
  }
}

/// An evaluation as it goes on.
struct RecallTally {
  var documents = 0
  var tokens = 0
  var outcomes: [RecallOutcome] = []
  var kept: KeptShares

  init(layers: Int) { kept = KeptShares(layers: layers) }

  func result(_ parameters: SessionParameters, seconds: Double) -> RecallResult {
    let right = outcomes.reduce(0) { $0 + $1.score.right }
    let asked = outcomes.reduce(0) { $0 + $1.score.asked }
    let answerTokens = outcomes.reduce(0) { $0 + $1.answerTokens }
    let loss = outcomes.reduce(0.0) { $0 + $1.answerNLL }
    let share = outcomes.reduce(0.0) { $0 + $1.score.share }
    return RecallResult(
      policy: parameters.policy.name, sinks: parameters.sinks, lag: parameters.lag, ratio: parameters.ratio,
      documents: documents, tokens: tokens, questions: outcomes.count, right: right, asked: asked,
      recall: Proportion(right, of: asked), meanShare: share / Double(max(1, outcomes.count)),
      answerNLL: loss / Double(max(1, answerTokens)), answerTokens: answerTokens, kept: kept.rows,
      layers: kept.shares, seconds: seconds, outcomes: outcomes)
  }
}

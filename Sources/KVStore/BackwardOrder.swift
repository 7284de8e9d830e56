/// Which call of a backward pass may come: chunks descend without gaps, and in each the layers go from the last to the first. Where
/// gradients are dropped, the boundary descends with the chunks: below it nothing has been added yet. Pure.
struct BackwardOrder {
  struct Call: Hashable {
    var layer: Int
    var tokens: Range<Int>
    /// Tokens before it get no gradients from this call.
    var detachedBefore = 0
  }

  enum Verdict: Equatable {
    case next
    /// The last call once more.
    case repeated
    /// With what is due.
    case refused(String)
  }

  private let layers: Int
  private let tokens: Int
  private var last: Call?

  init(layers: Int, tokens: Int) {
    self.layers = layers
    self.tokens = tokens
  }

  /// The first chunk may end before the session does: tokens behind the last target have no gradient.
  func check(_ call: Call) -> Verdict {
    if call == last { return .repeated }
    if let last, last.layer > 0 {
      let due = Call(layer: last.layer - 1, tokens: last.tokens, detachedBefore: last.detachedBefore)
      let dropped = due.detachedBefore > 0 ? ", detached before \(due.detachedBefore)" : ""
      return call == due ? .next : .refused("due is layer \(due.layer) of tokens \(due.tokens)\(dropped)")
    }
    guard call.layer == layers - 1 else { return .refused("a chunk begins with layer \(layers - 1)") }
    guard let last else {
      return call.tokens.upperBound <= tokens ? .next : .refused("the session ends at \(tokens)")
    }
    guard call.tokens.upperBound == last.tokens.lowerBound else {
      return .refused("due is a chunk that ends at token \(last.tokens.lowerBound)")
    }
    return call.detachedBefore <= last.detachedBefore
      ? .next
      : .refused(
        "gradients cannot be dropped before token \(call.detachedBefore): the chunk before dropped those before"
          + " \(last.detachedBefore) only")
  }

  mutating func did(_ call: Call) { last = call }
}

/// A token that is found in text as it stands, before anything is merged.
struct AddedToken: Hashable, Sendable {
  var id: UInt32
  var content: [UInt8]
  /// Special tokens are no text: they decode to nothing.
  var isSpecial = false
  /// Whether it is searched in the normalised text; otherwise in the text as given.
  var isNormalized = false
  /// Whether white space before or after it belongs to it.
  var stripsLeft = false
  var stripsRight = false
  /// Whether it counts only where no word character stands beside it.
  var isSingleWord = false
}

import Foundation
import StrictJSON

/// Unicode normalisation form C (UAX #15) of UTF-8, in time linear in the text.
///
/// Foundation's own is quadratic in the length of a run of combining marks (docs/decisions/0008-tokenizers.md); here it only
/// answers for single scalars and pairs, whose answers are kept: what a scalar decomposes to, and what two compose to.
/// Combining classes are the standard library's.
struct CanonicalComposition {
  /// Answers kept; then they are forgotten.
  private static let maximumAnswers = 1 << 16

  private struct Decomposition {
    var scalars: [UInt32]
    var classes: [UInt8]
  }

  private var decompositions: [UInt32: Decomposition] = [:]
  private var compositions: [UInt64: UInt32?] = [:]
  /// One segment: its scalars, decomposed, and their combining classes.
  private var scalars: [UInt32] = []
  private var classes: [UInt8] = []

  /// Whether the scalar is normalised, and nothing before it changes it or is changed by it. It begins a segment.
  static func isInert(_ scalar: UInt32) -> Bool {
    switch scalar {
    case ..<0x300, 0x388..<0x483, 0x48A..<0x591, 0x4E00..<0xA000, 0xAC00..<0xD7A4: true
    default: false
    }
  }

  /// Whether the text is normalised for sure, by its bytes alone: no scalar from U+0300 on.
  static func isPlain(_ text: Span<UInt8>) -> Bool {
    for at in text.indices where text[at] >= 0xCC { return false }
    return true
  }

  /// Normalises well-formed UTF-8.
  ///
  /// - Parameter result: the normalised text, in place of what it held.
  mutating func normalize(_ text: Span<UInt8>, into result: inout [UInt8]) {
    result.removeAll(keepingCapacity: true)
    var at = 0
    /// The last inert scalar, not written yet: what follows may compose with it.
    var pending: UInt32?
    while at < text.count, let scalar = UTF8Scalar(in: text, at: at) {
      if Self.isInert(scalar.value) {
        flush(&pending, &result)
        pending = scalar.value
      } else {
        if let first = pending, scalars.isEmpty { append(first) }
        pending = nil
        append(scalar.value)
      }
      at += scalar.length
    }
    flush(&pending, &result)
  }

  private mutating func flush(_ pending: inout UInt32?, _ result: inout [UInt8]) {
    if !scalars.isEmpty {
      order()
      compose(&result)
      scalars.removeAll(keepingCapacity: true)
      classes.removeAll(keepingCapacity: true)
    }
    if let scalar = pending { Self.append(scalar, to: &result) }
    pending = nil
  }

  private mutating func append(_ scalar: UInt32) {
    if decompositions.count > Self.maximumAnswers { decompositions.removeAll() }
    let known = decompositions[scalar] ?? Self.decompose(scalar)
    decompositions[scalar] = known
    scalars.append(contentsOf: known.scalars)
    classes.append(contentsOf: known.classes)
  }

  private static func decompose(_ value: UInt32) -> Decomposition {
    let text = Unicode.Scalar(value).map { String($0).decomposedStringWithCanonicalMapping } ?? ""
    let scalars = text.unicodeScalars
    return Decomposition(
      scalars: scalars.map(\.value), classes: scalars.map { $0.properties.canonicalCombiningClass.rawValue })
  }

  /// The canonical ordering algorithm: between starters, stable by combining class.
  private mutating func order() {
    var at = 0
    while at < scalars.count {
      guard classes[at] != 0 else {
        at += 1
        continue
      }
      let start = at
      var isSorted = true
      while at < scalars.count, classes[at] != 0 {
        if at > start, classes[at] < classes[at - 1] { isSorted = false }
        at += 1
      }
      if isSorted { continue }
      // The standard library's sort is stable, though it does not promise it: the position decides ties.
      let sorted = (start..<at).sorted { (classes[$0], $0) < (classes[$1], $1) }
      let run = sorted.map { (scalars[$0], classes[$0]) }
      for (index, entry) in run.enumerated() {
        (scalars[start + index], classes[start + index]) = entry
      }
    }
  }

  /// The canonical composition algorithm: every scalar that is not blocked is tried with the last starter.
  private mutating func compose(_ result: inout [UInt8]) {
    var starter: Int?
    var kept = 0
    /// The class of the scalar before, 0 right after the starter.
    var before: UInt8 = 0
    for at in scalars.indices {
      let (scalar, combining) = (scalars[at], classes[at])
      let isBlocked = starter.map { kept > $0 + 1 && before >= combining } ?? true
      if let starter, !isBlocked, let composed = composition(scalars[starter], scalar) {
        scalars[starter] = composed
        continue
      }
      scalars[kept] = scalar
      if combining == 0 { starter = kept }
      before = combining
      kept += 1
    }
    for at in 0..<kept { Self.append(scalars[at], to: &result) }
  }

  /// The primary composite of two scalars. They come in canonical order, so they compose exactly if their normal form is one
  /// scalar.
  private mutating func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
    let pair = UInt64(first) << 32 | UInt64(second)
    if let known = compositions[pair] { return known }
    if compositions.count > Self.maximumAnswers { compositions.removeAll() }
    let composed = Self.compose(first, second)
    compositions[pair] = .some(composed)
    return composed
  }

  /// Foundation's answer, with two of its errors mended (Swift 6.3): it leaves a composite and a second starter, such as U+D558
  /// U+11AB, as they are, so both are decomposed first; and it takes scalars past U+FFFF for others, so the standard library
  /// must find the answer equal to the question.
  private static func compose(_ first: UInt32, _ second: UInt32) -> UInt32? {
    var text = ""
    for value in [first, second] { text.unicodeScalars.append(Unicode.Scalar(value) ?? "\u{FFFD}") }
    let composed = text.decomposedStringWithCanonicalMapping.precomposedStringWithCanonicalMapping
    guard composed.unicodeScalars.count == 1, composed == text else { return nil }
    return composed.unicodeScalars.first?.value
  }

  private static func append(_ scalar: UInt32, to result: inout [UInt8]) {
    result.append(contentsOf: Unicode.Scalar(scalar).flatMap(UTF8.encode) ?? .init())
  }
}

/// The tokens of words seen before. Text repeats its words, so most of them are merged once.
///
/// Its memory is bounded: when it is full, everything is forgotten. So is the work of a lookup, whatever the words.
struct WordCache {
  /// Bytes of the longest word that is kept.
  static let longestWord = 48
  private static let slotCount = 1 << 15
  private static let probes = 6
  private static let maximumBytes = 1 << 20

  private struct Slot {
    /// Where its bytes begin; a free slot has length 0.
    var start: UInt32 = 0
    var firstToken: UInt32 = 0
    var tag: UInt32 = 0
    var length: UInt16 = 0
    var tokenCount: UInt16 = 0
  }

  private var slots: [Slot] = []
  private var bytes: [UInt8] = []
  private var tokens: [UInt32] = []

  /// Appends the word's tokens if they are known.
  func append(_ word: Span<UInt8>, hash: UInt64, to result: inout [UInt32]) -> Bool {
    guard !slots.isEmpty else { return false }
    for probe in 0..<Self.probes {
      let slot = slots[Self.index(hash, probe)]
      guard slot.length > 0 else { return false }
      guard slot.tag == UInt32(truncatingIfNeeded: hash), Int(slot.length) == word.count,
        equals(word, at: Int(slot.start))
      else { continue }
      for token in Int(slot.firstToken)..<Int(slot.firstToken) + Int(slot.tokenCount) {
        result.append(tokens[token])
      }
      return true
    }
    return false
  }

  /// Keeps the word's tokens, or not.
  mutating func insert(_ word: Span<UInt8>, hash: UInt64, _ new: ArraySlice<UInt32>) {
    guard !word.isEmpty, word.count <= Self.longestWord else { return }
    if slots.isEmpty || bytes.count + word.count > Self.maximumBytes {
      slots = Array(repeating: Slot(), count: Self.slotCount)
      bytes.removeAll(keepingCapacity: true)
      tokens.removeAll(keepingCapacity: true)
    }
    for probe in 0..<Self.probes where slots[Self.index(hash, probe)].length == 0 {
      slots[Self.index(hash, probe)] = Slot(
        start: UInt32(bytes.count), firstToken: UInt32(tokens.count), tag: UInt32(truncatingIfNeeded: hash),
        length: UInt16(word.count), tokenCount: UInt16(new.count))
      for at in word.indices { bytes.append(word[at]) }
      tokens.append(contentsOf: new)
      return
    }
    // Every slot it could have is taken: begin anew, or what comes late would never be kept.
    slots = []
  }

  private func equals(_ word: Span<UInt8>, at start: Int) -> Bool {
    for at in 0..<word.count where bytes[start + at] != word[at] { return false }
    return true
  }

  private static func index(_ hash: UInt64, _ probe: Int) -> Int {
    (Int(truncatingIfNeeded: hash >> 32) + probe) & (slotCount - 1)
  }

  /// FNV-1a with a last mixing. Words that collide cost a few probes, so it need not be secret.
  static func hash(_ word: Span<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for at in word.indices { hash = (hash ^ UInt64(word[at])) &* 0x0000_0100_0000_01B3 }
    hash ^= hash >> 32
    return hash &* 0xD6E8_FEB8_6659_FD93
  }
}

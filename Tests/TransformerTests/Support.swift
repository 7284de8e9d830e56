import Foundation
import Safetensors
import Transformer

/// The repository's model.
let modelFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("data/kjv-tiny").path

/// A tiny model of `Tests/Fixtures/models`.
func modelFixture(_ name: String) -> String {
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/models/" + name).path
}

/// A folder of a test's own, removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("lagoon-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path)
}

/// All logits of a text, cut into chunks of these lengths (the last repeats), over plain dense attention.
func denseLogits(_ model: DecoderModel, _ tokens: [UInt32], chunks: [Int]) throws -> [Float] {
  let attention = DenseAttention(model.configuration)
  var result: [Float] = []
  var at = 0
  var index = 0
  while at < tokens.count {
    let count = min(chunks[min(index, chunks.count - 1)], tokens.count - at)
    result += try model.forward(
      tokens[at..<at + count], startPosition: at, attention: attention, logits: .all)
    at += count
    index += 1
  }
  return result
}

/// Mean negative log-likelihood of each token after the first.
func meanLoss(_ logits: [Float], _ tokens: [UInt32], vocabulary: Int) -> Double {
  var sum = 0.0
  for position in 0..<tokens.count - 1 {
    let row = logits[position * vocabulary..<(position + 1) * vocabulary]
    sum += CrossEntropy.negativeLogLikelihood(row, target: tokens[position + 1])
  }
  return sum / Double(tokens.count - 1)
}

func largestDifference(_ left: [Float], _ right: [Float]) -> Float {
  zip(left, right).map { abs($0 - $1) }.max() ?? 0
}

/// `‖left − right‖ / ‖right‖`, in f64.
func relativeDistance(_ left: [Float], _ right: [Float]) -> Double {
  precondition(left.count == right.count)
  let difference = zip(left, right).reduce(0.0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
  let norm = right.reduce(0.0) { $0 + Double($1) * Double($1) }
  return (difference / max(norm, .leastNormalMagnitude)).squareRoot()
}

/// A repeatable stream of floats in -1..<1.
struct Noise {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &* 2 &+ 1 }

  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
  }

  mutating func floats(_ count: Int) -> [Float] { (0..<count).map { _ in next() } }
}

/// The King James Bible as `bible-kjv` prints it, verse references removed; nil when the package is not installed.
let kingJamesText: [UInt8]? = {
  guard FileManager.default.isExecutableFile(atPath: "/usr/bin/bible") else { return nil }
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", "bible -f 'gen1:1-rev22:21' | sed -E 's/^[^ ]+ //'"]
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return nil }
  let text = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return text.count == 4_137_850 ? [UInt8](text) : nil
}()

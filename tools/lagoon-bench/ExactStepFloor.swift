import Foundation
import LRSATraining
import LagKV
import Transformer

/// The arithmetic that an exact LRSA step over one document cannot do without, and how fast oneDNN does such products here.
struct ExactStepFloor {
  private let products: DenseProducts
  /// Floating-point operations of the whole step.
  let operations: Double
  private var rates: [Double] = []

  /// - Parameter run: the run's settings.
  init(model: String, run: RunSettings, tokens: Int) throws {
    let configuration = try ModelConfiguration(folder: model)
    let rows = min(run.chunk, tokens)
    products = try DenseProducts(
      configuration, try MatmulBackend(Compute(rawValue: run.compute) ?? .float32), documents: 1, tokens: rows
    )
    // Forward twice and backward, which is two products: four, where a dense step has three.
    let linear = products.linearOperations / Double(rows) * Double(tokens) * 4 / 3
    // Two products forward, twice, and five backward.
    let width = Double(configuration.queryHeads * configuration.headDim * configuration.layers)
    operations = linear + 9 * 2 * (try Self.pairs(run, tokens: tokens)) * width
  }

  /// How many keys the queries of a head see, summed over the queries.
  private static func pairs(_ run: RunSettings, tokens: Int) throws -> Double {
    guard let attention = run.attention, let choice = attention.choices.first,
      let policy = PolicyKind(name: choice.policy)
    else { return Double(tokens) * Double(tokens + 1) / 2 }
    return try RetentionParameters(
      policy: policy, sinks: attention.sinks, lag: attention.lag, ratio: choice.ratio
    ).geometry(layer: 0).attendedPairs(tokens)
  }

  /// Measures oneDNN's rate once more.
  mutating func measure() throws { rates.append(try products.rate()) }

  var seconds: Double { operations / rates.median }
  var rate: Double { rates.median }
}

import Kernels

/// Where each parameter of a decoder stands in one row of f32 elements: under its Hugging Face name, back to back, in the order
/// of the forward pass. Weights, gradients and an optimiser's moments share it.
public struct ParameterLayout: Sendable, Hashable {
  /// One parameter.
  public struct Tensor: Sendable, Hashable {
    /// Its Hugging Face name, such as `model.layers.0.self_attn.q_proj.weight`.
    public let name: String
    /// Extent of each dimension, slowest first.
    public let shape: [Int]
    /// Its elements, row-major.
    public let range: Range<Int>
  }

  public let tensors: [Tensor]
  /// Elements in all; a tied matrix counts once.
  public let count: Int
  private let index: [String: Int]

  /// Every parameter of this decoder.
  public init(_ configuration: ModelConfiguration) {
    self.init(DecoderTensors(configuration).shapes)
  }

  /// - Parameter shapes: distinct names.
  package init(_ shapes: [(name: String, shape: [Int])]) {
    var tensors: [Tensor] = []
    var index: [String: Int] = [:]
    var end = 0
    for (name, shape) in shapes {
      precondition(index.updateValue(tensors.count, forKey: name) == nil, "\(name) stands twice")
      let start = end
      end += shape.reduce(1, *)
      tensors.append(Tensor(name: name, shape: shape, range: start..<end))
    }
    self.tensors = tensors
    self.index = index
    count = end
  }

  /// The parameter of this name; nil when the decoder has none.
  public subscript(name: String) -> Tensor? { index[name].map { tensors[$0] } }
}

/// One f32 value for each element of each parameter, in one stretch of memory, zero at first. One thread at a time uses it.
public final class ParameterBuffer {
  public let layout: ParameterLayout
  private let elements: FloatBuffer

  public init(_ layout: ParameterLayout) {
    self.layout = layout
    elements = FloatBuffer(count: layout.count)
  }

  /// Calls `body` with all elements, `[layout.count]`, valid during the call.
  public func withElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(elements.writable(layout.count))
  }

  /// A copy of a parameter's elements, row-major; nil when the decoder has none of this name.
  public subscript(name: String) -> [Float]? {
    layout[name].map { Array(elements.readable($0.range)) }
  }

  public func setToZero() {
    elements.writable(layout.count).setToZero()
  }

  /// The Euclidean norm of all elements, in f64, in an order of additions that is always the same.
  public func norm() -> Double {
    let all = elements.readable(layout.count)
    var sums = [Double](repeating: 0, count: (all.count + Self.normBlock - 1) / Self.normBlock)
    sums.withUnsafeMutableBufferPointer { sums in
      Team.run(sums.count) { item, _ in
        let block = all.part(item * Self.normBlock..<min((item + 1) * Self.normBlock, all.count))
        sums[item] = lagoon_square_sum(block.baseAddress, block.count)
      }
    }
    return sums.reduce(0, +).squareRoot()
  }

  /// Elements whose squares are summed before they are added to the others'.
  private static let normBlock = 1 << 16

  // Views of parts are handed down a call. Whoever keeps an address keeps this buffer too: it never moves its memory.
  func readable(_ range: Range<Int>) -> UnsafeBufferPointer<Float> { elements.readable(range) }
  func writable(_ range: Range<Int>) -> UnsafeMutableBufferPointer<Float> { elements.writable(range) }
}

import Transformer

/// A LoRA adapter's parameters, in PEFT's layout.
public final class AdapterParameters: TrainedParameters {
  private let adapter: LowRankAdapter
  public var parameters: ParameterBuffer { adapter.parameters }
  public var gradients: ParameterBuffer { adapter.gradients }

  public init(_ adapter: LowRankAdapter) { self.adapter = adapter }

  public func collectGradients() throws { try adapter.collectGradients() }

  public func apply() throws { try adapter.apply() }

  public func save(to folder: String) throws { try adapter.save(to: folder) }

  public func restore(from folder: String) throws {
    try adapter.load(from: folder)
    try apply()
  }

  /// Matrices decay, those of the adapter too; norms and biases do not.
  public func decays(_ tensor: ParameterLayout.Tensor) -> Bool { tensor.shape.count > 1 }
}

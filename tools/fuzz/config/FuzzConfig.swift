import Foundation
import FuzzDriver
import Transformer

/// Any bytes as a `config.json`: read, or refused with a `ModelError`.
@main enum FuzzConfig {
  static func main() {
    exit(
      fuzz { bytes, count in
        let data = Data(UnsafeBufferPointer(start: bytes, count: count))
        do throws(ModelError) {
          let configuration = try ModelConfiguration(json: data)
          precondition(configuration.parameterCount > 0)
          precondition(configuration.rope.frequencies(headDim: configuration.headDim).allSatisfy(\.isFinite))
        } catch {
          precondition(!error.description.isEmpty)
        }
        return 0
      })
  }
}

import Kernels
import LagKV
import SparseAttention

extension Session {
  /// - Throws: `nonFinite` naming layer, query head, query and channel.
  func checkFinite(_ queries: TensorView, layer: Int, what: String = "queries") throws(StoreError) {
    func check(_ token: Int, _ head: Int, _ elements: Int) throws(StoreError) {
      let bad = lagoon_first_nonfinite(
        queries.row(token: token, head: head), queries.elementType.rawValue, elements)
      guard bad >= 0 else { return }
      let badHead = head + bad / queries.headDim
      let channel = bad % queries.headDim
      throw StoreError(
        .nonFinite, "\(what): NaN or infinity at query \(token), query head \(badHead)",
        session: configuration.name, layer: layer, head: badHead, channel: channel)
    }
    for token in 0..<queries.tokens {
      if queries.headStride == queries.headDim {
        try check(token, 0, queries.heads * queries.headDim)
      } else {
        for head in 0..<queries.heads { try check(token, head, queries.headDim) }
      }
    }
  }
}

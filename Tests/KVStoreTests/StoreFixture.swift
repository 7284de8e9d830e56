import Foundation
import KVStore
import LagKV
import SparseAttention

/// A folder of its own for one test's store; removed in the end.
final class StoreFixture {
  let path: String

  init() {
    path =
      FileManager.default.temporaryDirectory.appendingPathComponent("lagoon-store-\(UUID().uuidString)").path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var dataFile: String { "\(path)/data.mdb" }

  func open(
    quota: Int = 1 << 30, durability: Durability = .process, staged: Int = 1 << 30, pool: WorkerPool? = nil
  ) throws -> KVStore {
    try KVStore(
      path: path,
      options: StoreOptions(
        quotaBytes: quota, durability: durability, stagedBytesTotal: staged, stagedBytesPerOwner: staged,
        pool: pool, clock: { 1_700_000_000 }))
  }
}

func configuration(
  _ name: String = "book", layers: Int = 2, document: Document, type: ElementType = .float32,
  policy: PolicyKind = .lagkv, sinks: Int = 4, lag: Int = 16, ratio: Double = 0.25, exempt: Set<Int> = [],
  archive: Bool = false, codec: Codec = .raw, ephemeral: Bool = false
) throws -> SessionConfiguration {
  try SessionConfiguration(
    name: name, layers: layers, kvHeads: document.kvHeads, headDim: document.headDim, elementType: type,
    retention: RetentionParameters(
      policy: policy, sinks: sinks, lag: lag, ratio: ratio, seed: 7, exemptLayers: exempt),
    archive: archive, codec: codec, ephemeral: ephemeral)
}

/// The code of the `StoreError` that `body` throws; nil: it throws none.
func code(_ body: () throws -> Void) -> StoreError.Code? {
  do {
    try body()
    return nil
  } catch let error as StoreError {
    return error.code
  } catch {
    return nil
  }
}

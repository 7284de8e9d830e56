import LagKV
import SparseAttention

/// Attention, backward: adds each run's gradients to the accumulators of its rows.
final class RunningBackward: RowVisitor {
  var backward: AttentionBackward
  private let layout: GradientLayout
  private let plan: LayerPlan
  private let detached: DetachedRows
  /// Of the layer's accumulators.
  private let base: UnsafeMutableRawPointer

  init(
    _ backward: consuming AttentionBackward, _ accumulators: LayerAccumulators, plan: LayerPlan,
    detached: DetachedRows
  ) {
    self.backward = backward
    layout = accumulators.layout
    self.plan = plan
    self.detached = detached
    base = accumulators.base
  }

  func add(_ runs: [RowRun], of place: RowPlace, _ type: ElementType, causal: Bool, pool: WorkerPool?) {
    var blocks: [KeyValueBlock] = []
    var gradients: [KeyValueGradient?] = []
    for run in runs {
      for part in detached.parts(of: run, place, rowBytes: plan.shape.rowBytes) {
        blocks.append(part.run.block(type, causal: causal))
        gradients.append(part.isDetached ? nil : accumulators(of: part.run, place))
      }
    }
    backward.add(blocks, into: gradients, pool: pool)
  }

  func add(_ blocks: [EightBitBlock], pool: WorkerPool?) {
    preconditionFailure("a backward pass needs an archive, which sessions with codec q8 do not have")
  }

  private func accumulators(of run: RowRun, _ place: RowPlace) -> KeyValueGradient {
    let rowBytes = layout.headDim * 4
    let rows: GradientLayout.Rows
    switch place {
    case .kept:
      // A run is of one slab, so its rows are of one block.
      precondition(run.first >= 0 && run.first + run.count <= layout.keptRows)
      precondition(run.first % layout.slots + run.count <= layout.slots)
      rows = layout.kept(run.first, base).from(0, head: run.heads.lowerBound, rowBytes: rowBytes)
    case .partition(let p):
      let slot = run.first - plan.partitionStart(p)
      precondition(slot >= 0 && slot + run.count <= layout.lag)
      rows = layout.window(p, base).from(slot, head: run.heads.lowerBound, rowBytes: rowBytes)
    }
    return KeyValueGradient(dKeys: rows.keys, dValues: rows.values, headStrideBytes: rows.headStride)
  }
}

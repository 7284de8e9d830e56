import LagKV
import SparseAttention

/// Attention, backward: adds each run's gradients to the accumulators of its rows.
final class RunningBackward: RowVisitor {
  var backward: AttentionBackward
  private let layout: GradientLayout
  private let plan: LayerPlan
  /// Of the layer's accumulators.
  private let base: UnsafeMutableRawPointer

  init(
    _ backward: consuming AttentionBackward, layout: GradientLayout, plan: LayerPlan,
    base: UnsafeMutableRawPointer
  ) {
    self.backward = backward
    self.layout = layout
    self.plan = plan
    self.base = base
  }

  func add(_ runs: [RowRun], of place: RowPlace, _ type: ElementType, causal: Bool, pool: WorkerPool?) {
    let rowBytes = layout.headDim * 4
    let gradients = runs.map { run in
      let rows: GradientLayout.Rows
      switch place {
      case .kept:
        precondition(run.first >= 0 && run.first + run.count <= layout.keptRows)
        rows = layout.kept(base).from(run.first, head: run.heads.lowerBound, rowBytes: rowBytes)
      case .partition(let p):
        let slot = run.first - plan.partitionStart(p)
        precondition(slot >= 0 && slot + run.count <= layout.lag)
        rows = layout.window(p, base).from(slot, head: run.heads.lowerBound, rowBytes: rowBytes)
      }
      return KeyValueGradient(dKeys: rows.keys, dValues: rows.values, headStrideBytes: rows.headStride)
    }
    backward.add(runs.map { $0.block(type, causal: causal) }, into: gradients, pool: pool)
  }
}

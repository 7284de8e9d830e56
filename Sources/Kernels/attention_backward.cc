// Attention's backward pass: the weights are computed again from the log-sum-exp, a tile of them at a time.
//
// Keys are taken in tiles of 64, converted once for all rows: keys and values by channel, for the products
// along the channels, and keys once more by key. Query rows are taken in blocks of 48. For each tile and
// block, five products: logits and dOut · value, [rows, keys] both; from them weights and their gradients;
// then dQueries, dKeys and dValues. The tile's dKeys and dValues are summed over all blocks before they are
// added to the caller's.
#include "attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention_backward.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "attention-backward-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Turns one row's logits into weights P = exp(logit - lse), and its dP = dOut · value into dLogits =
// P * (dP - delta): both exactly 0 from `visible` on, and dLogits wherever a weight is 0.
HWY_INLINE void DifferentiateWeights(float *HWY_RESTRICT logits, float *HWY_RESTRICT gradients,
                                     size_t columns, size_t visible, float logSumExp, float delta) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto lse = hn::Set(d, logSumExp);
  const auto deltas = hn::Set(d, delta);
  for (size_t r = 0; r < columns; r += kVector) {
    const auto index = hn::Iota(di, static_cast<int32_t>(r));
    const auto seen = hn::RebindMask(d, hn::Lt(index, hn::Set(di, static_cast<int32_t>(visible))));
    // A logit exceeds the log-sum-exp by rounding only.
    const auto exponent = hn::Min(hn::Sub(Limited(d, hn::Load(d, logits + r)), lse), hn::Zero(d));
    const auto weight = hn::IfThenElseZero(seen, FastExponentials(exponent));
    const auto gradient = hn::Mul(weight, hn::Sub(hn::Load(d, gradients + r), deltas));
    hn::Store(weight, d, logits + r);
    hn::Store(hn::IfThenZeroElse(hn::Eq(weight, hn::Zero(d)), gradient), d, gradients + r);
  }
}

constexpr size_t kBlockSteps = 5;  // of a block: its products

// One tile for the `count` query rows from `row` on. The gradients of its keys are wanted or not.
template <bool kNarrow>
void BackwardBlock(const lagoon_query_gradient_rows &rows, size_t row, size_t count, const BackwardTile &tile,
                   const Tile &keys, bool ofKeys, BackwardAhead &ahead) {
  const size_t dim = rows.headDim;
  const size_t padded = lagoon_padded_dim(dim);
  // Later rows see at least as much.
  const size_t seen = VisibleKeys(rows, row + count - 1, keys.count, keys.firstPosition);
  if (seen == 0) return;
  const size_t columns = WholePanels(seen);
  const float *queries = rows.queries + row * padded;
  const float *dOut = rows.dOut + row * padded;
  float *dQueries = rows.dQueries + row * padded;
  // Names as in Product: a, aRow, aTerm, b, bTerm, bPanel, to, toRow.
  const size_t panel = padded * kPanel;
  ahead.Step();
  if constexpr (kNarrow) {
#if LAGOON_NARROW_PRODUCTS
    // The forward pass's, to the bit.
    PanelLogitsOfRows(rows.narrow + row * padded, count, padded, rows.scale, tile.panels, seen, tile.weights);
#endif
  } else {
    Multiply<false>({queries, padded, 1, tile.keysByChannel, kPanel, panel, tile.weights, kKeyTile}, count, columns,
                    dim);
  }
  ahead.Step();
  Multiply<false>({dOut, padded, 1, tile.valuesByChannel, kPanel, panel, tile.dLogits, kKeyTile}, count,
                  columns, dim);
  for (size_t i = 0; i < count; ++i) {
    const bool sawKeys = rows.logSumExp[row + i] != -HUGE_VALF;
    const size_t visible = sawKeys ? VisibleKeys(rows, row + i, seen, keys.firstPosition) : 0;
    DifferentiateWeights(tile.weights + i * kKeyTile, tile.dLogits + i * kKeyTile, columns, visible,
                         sawKeys ? rows.logSumExp[row + i] : 0.0f, rows.delta[row + i]);
  }
  ahead.Step();
  Multiply<true>({tile.dLogits, kKeyTile, 1, tile.keys, kPanel, kKeyTile * kPanel, dQueries, padded}, count,
                 padded, seen);
  if (!ofKeys) return;
  ahead.Step();
  Multiply<true>({tile.dLogits, 1, kKeyTile, queries, padded, kPanel, tile.dKeys, padded}, seen, padded,
                 count);
  ahead.Step();
  Multiply<true>({tile.weights, 1, kKeyTile, dOut, padded, kPanel, tile.dValues, padded}, seen, padded, count);
}

// kNarrow: queries and keys are multiplied as bf16.
template <uint8_t kType, bool kNarrow>
void AttendBackwardTyped(const lagoon_query_gradient_rows &rows, const lagoon_gradient_run *runs, size_t runCount,
                         float *scratch) {
  const size_t dim = rows.headDim;
  const size_t padded = lagoon_padded_dim(dim);
  BackwardTile memory(scratch, padded);
  GradientCursor cursor(runs, runCount, dim * ElementBytes(kType));
  const size_t steps = kBlockSteps * hwy::DivCeil(rows.rows, kRowBlock);
  Tile tiles[2];
  TileGradients gradientsOf[2];
  NextTile(cursor, dim, tiles[0], gradientsOf[0]);
  for (size_t i = 0; tiles[i % 2].count > 0; ++i) {
    Tile &tile = tiles[i % 2];
    const TileGradients &gradients = gradientsOf[i % 2];
    const Tile &next = tiles[(i + 1) % 2];
    NextTile(cursor, dim, tiles[(i + 1) % 2], gradientsOf[(i + 1) % 2]);
    const size_t used = VisibleKeys(rows, rows.rows - 1, tile.count, tile.firstPosition);
    if (used == 0) continue;
    tile.count = used;
    float *keysByChannel = kNarrow ? nullptr : memory.keysByChannel;
    UnpackPanels<kType>(tile.keys, used, dim, padded, memory.row, keysByChannel, memory.keys);
#if LAGOON_NARROW_PRODUCTS
    if constexpr (kNarrow) {
      MakePanels(tile, padded, reinterpret_cast<uint8_t *>(memory.keysByChannel), memory.panels);
    }
#endif
    UnpackPanels<kType>(tile.values, used, dim, padded, memory.row, memory.valuesByChannel, nullptr);
    if (gradients.areWanted) {
      std::memset(memory.dKeys, 0, used * padded * sizeof(float));
      std::memset(memory.dValues, 0, used * padded * sizeof(float));
    }
    const auto fetch = [&](const auto *of, size_t count, size_t bytes) HWY_ATTR {
      return AheadInSteps(reinterpret_cast<const uint8_t *const *>(of), count, bytes, steps);
    };
    const size_t wanted = gradients.areWanted ? used : 0;
    BackwardAhead ahead{fetch(next.keys, next.count, dim * ElementBytes(kType)),
                        fetch(next.values, next.count, dim * ElementBytes(kType)),
                        fetch(gradients.dKeys, wanted, dim * sizeof(float)),
                        fetch(gradients.dValues, wanted, dim * sizeof(float))};
    for (size_t row = 0; row < rows.rows; row += kRowBlock) {
      const size_t block = rows.rows - row < kRowBlock ? rows.rows - row : kRowBlock;
      BackwardBlock<kNarrow>(rows, row, block, memory, tile, gradients.areWanted, ahead);
    }
    for (size_t r = 0; r < used; ++r) {
      if (gradients.dKeys[r] == nullptr) continue;
      AddRow(memory.dKeys + r * padded, dim, gradients.dKeys[r]);
      AddRow(memory.dValues + r * padded, dim, gradients.dValues[r]);
    }
  }
}

void AttendBackward(const lagoon_query_gradient_rows &rows, const lagoon_gradient_run *runs, size_t runCount,
                    uint8_t type, float *scratch) {
  if (rows.rows == 0) return;
#if LAGOON_NARROW_PRODUCTS
  if (type == LAGOON_BF16 && rows.narrow != nullptr && rows.headDim % (2 * kChains) == 0 && HasNarrowProducts()) {
    return AttendBackwardTyped<LAGOON_BF16, true>(rows, runs, runCount, scratch);
  }
#endif
  WithType(type, [&](auto known) HWY_ATTR { AttendBackwardTyped<known, false>(rows, runs, runCount, scratch); });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(AttendBackward);
}  // namespace lagoon

extern "C" void lagoon_attend_backward(const lagoon_query_gradient_rows *rows, const lagoon_gradient_run *runs,
                                       size_t runCount, uint8_t type, float *scratch) {
  using namespace lagoon;
  LAGOON_DISPATCH(AttendBackward)(*rows, runs, runCount, type, scratch);
}

extern "C" size_t lagoon_attention_backward_scratch(size_t headDim) {
  using namespace lagoon;
  const size_t padded = lagoon_padded_dim(headDim);
  return 5 * kKeyTile * padded + 2 * kRowBlock * kKeyTile + padded;
}
#endif

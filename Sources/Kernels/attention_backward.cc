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
#include "attention-narrow-inl.h"
#include "exponential-inl.h"
#include "product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// One tile's memory, in `lagoon_attention_backward_scratch` floats.
struct BackwardTile {
  float *keysByChannel;    // [kKeyTile / 16][padded][16]: panels of 16 keys
  float *valuesByChannel;  // the same
  float *keys;             // [padded / 16][kKeyTile][16]: panels of 16 channels
  float *dKeys;            // [kKeyTile, padded]
  float *dValues;          // [kKeyTile, padded]
  float *weights;          // [kRowBlock, kKeyTile]
  float *dLogits;          // [kRowBlock, kKeyTile]
  float *row;              // [padded]
  const uint8_t *panels[kKeyTile / kPanel];  // instead of keysByChannel, where queries and keys are multiplied as bf16

  BackwardTile(float *scratch, size_t padded) {
    const size_t tile = kKeyTile * padded;
    keysByChannel = scratch;
    valuesByChannel = keysByChannel + tile;
    keys = valuesByChannel + tile;
    dKeys = keys + tile;
    dValues = dKeys + tile;
    weights = dValues + tile;
    dLogits = weights + kRowBlock * kKeyTile;
    row = dLogits + kRowBlock * kKeyTile;
  }
};

HWY_INLINE size_t WholePanels(size_t columns) { return (columns + kPanel - 1) / kPanel * kPanel; }

// One row to f32, padded with zeros.
template <uint8_t kType>
HWY_INLINE void UnpackRow(const uint8_t *from, size_t headDim, size_t padded, float *HWY_RESTRICT to) {
  constexpr size_t kBytes = ElementBytes(kType);
  const F32 d;
  size_t c = 0;
  for (; c + kVector <= headDim; c += kVector) hn::Store(LoadFloats<kType>(from + c * kBytes), d, to + c);
  for (; c < headDim; ++c) to[c] = LoadElement(from, kType, c);
  for (; c < padded; ++c) to[c] = 0.0f;
}

// Converts rows into panels of 16 rows by channel and panels of 16 channels by row, each unless null. Rows up to the next whole panel
// are zero.
template <uint8_t kType>
void UnpackPanels(const uint8_t *const *rows, size_t count, size_t headDim, size_t padded, float *HWY_RESTRICT row,
                  float *HWY_RESTRICT byChannel, float *HWY_RESTRICT byRow) {
  const F32 d;
  for (size_t r = 0; r < WholePanels(count); ++r) {
    if (r < count) {
      UnpackRow<kType>(rows[r], headDim, padded, row);
    } else {
      for (size_t c = 0; c < padded; c += kVector) hn::Store(hn::Zero(d), d, row + c);
    }
    if (byChannel != nullptr) {
      float *panel = byChannel + r / kPanel * (padded * kPanel) + r % kPanel;
      for (size_t c = 0; c < headDim; ++c) panel[c * kPanel] = row[c];
    }
    if (byRow == nullptr) continue;
    for (size_t c = 0; c < padded; c += kVector) {
      float *to = byRow + c / kPanel * (kKeyTile * kPanel) + r * kPanel + c % kPanel;
      hn::Store(hn::Load(d, row + c), d, to);
    }
  }
}

// Turns one row's logits into weights P = exp(logit - lse), and its dP = dOut · value into dLogits =
// P * (dP - delta): both exactly 0 from `visible` on, and dLogits wherever a weight is 0.
HWY_INLINE void DifferentiateWeights(float *HWY_RESTRICT logits, float *HWY_RESTRICT gradients,
                                     size_t columns, size_t visible, float logSumExp, float delta) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  constexpr float kLargest = 3.4028234663852886e38f;
  const auto limit = hn::Set(d, kLargest);
  const auto lse = hn::Set(d, logSumExp);
  const auto deltas = hn::Set(d, delta);
  for (size_t r = 0; r < columns; r += kVector) {
    const auto index = hn::Iota(di, static_cast<int32_t>(r));
    const auto seen = hn::RebindMask(d, hn::Lt(index, hn::Set(di, static_cast<int32_t>(visible))));
    // As in the forward pass, an overflowed product counts as the largest float. A logit exceeds the
    // log-sum-exp by rounding only.
    const auto exponent = hn::Min(hn::Sub(hn::Min(hn::Load(d, logits + r), limit), lse), hn::Zero(d));
    const auto weight = hn::IfThenElseZero(seen, FastExponentials(exponent));
    const auto gradient = hn::Mul(weight, hn::Sub(hn::Load(d, gradients + r), deltas));
    hn::Store(weight, d, logits + r);
    hn::Store(hn::IfThenZeroElse(hn::Eq(weight, hn::Zero(d)), gradient), d, gradients + r);
  }
}

// One tile for the `count` query rows from `row` on. The gradients of its keys are wanted or not.
template <bool kNarrow>
void BackwardBlock(const lagoon_query_gradient_rows &rows, size_t row, size_t count, const BackwardTile &tile,
                   const Tile &keys, bool ofKeys) {
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
  if constexpr (kNarrow) {
#if LAGOON_NARROW_PRODUCTS
    // The forward pass's, to the bit.
    PanelLogitsOfRows(rows.narrow + row * padded, count, padded, rows.scale, tile.panels, seen, tile.weights);
#endif
  } else {
    Multiply<false>({queries, padded, 1, tile.keysByChannel, kPanel, panel, tile.weights, kKeyTile}, count, columns,
                    dim);
  }
  Multiply<false>({dOut, padded, 1, tile.valuesByChannel, kPanel, panel, tile.dLogits, kKeyTile}, count,
                  columns, dim);
  for (size_t i = 0; i < count; ++i) {
    const bool sawKeys = rows.logSumExp[row + i] != -HUGE_VALF;
    const size_t visible = sawKeys ? VisibleKeys(rows, row + i, seen, keys.firstPosition) : 0;
    DifferentiateWeights(tile.weights + i * kKeyTile, tile.dLogits + i * kKeyTile, columns, visible,
                         sawKeys ? rows.logSumExp[row + i] : 0.0f, rows.delta[row + i]);
  }
  Multiply<true>({tile.dLogits, kKeyTile, 1, tile.keys, kPanel, kKeyTile * kPanel, dQueries, padded}, count,
                 padded, seen);
  if (!ofKeys) return;
  Multiply<true>({tile.dLogits, 1, kKeyTile, queries, padded, kPanel, tile.dKeys, padded}, seen, padded,
                 count);
  Multiply<true>({tile.weights, 1, kKeyTile, dOut, padded, kPanel, tile.dValues, padded}, seen, padded, count);
}

// Adds one padded row to headDim floats at any alignment.
HWY_INLINE void AddRow(const float *HWY_RESTRICT from, size_t headDim, float *HWY_RESTRICT to) {
  const F32 d;
  size_t c = 0;
  for (; c + kVector <= headDim; c += kVector) {
    hn::StoreU(hn::Add(hn::LoadU(d, to + c), hn::Load(d, from + c)), d, to + c);
  }
  for (; c < headDim; ++c) StoreAs(LoadAs<float>(to + c) + from[c], to + c);
}

// Where the gradients of a tile's keys and values go, row by row; null: they are not wanted.
struct TileGradients {
  float *dKeys[kKeyTile];
  float *dValues[kKeyTile];
  bool areWanted;
};

// Takes the next tile, and where its gradients go.
void NextTile(GradientCursor &cursor, size_t headDim, Tile &tile, TileGradients &gradients) {
  cursor.Next(tile, [&](const lagoon_gradient_run &run, size_t row, size_t at) {
    gradients.dKeys[at] = run.dKeys == nullptr ? nullptr : run.dKeys + row * headDim;
    gradients.dValues[at] = run.dKeys == nullptr ? nullptr : run.dValues + row * headDim;
  });
  gradients.areWanted = false;
  for (size_t r = 0; r < tile.count; ++r) gradients.areWanted |= gradients.dKeys[r] != nullptr;
}

// kNarrow: queries and keys are multiplied as bf16.
template <uint8_t kType, bool kNarrow>
void AttendBackwardTyped(const lagoon_query_gradient_rows &rows, const lagoon_gradient_run *runs, size_t runCount,
                         float *scratch) {
  const size_t dim = rows.headDim;
  const size_t padded = lagoon_padded_dim(dim);
  BackwardTile memory(scratch, padded);
  GradientCursor cursor(runs, runCount, dim * ElementBytes(kType));
  Tile tile;
  TileGradients gradients;
  for (NextTile(cursor, dim, tile, gradients); tile.count > 0; NextTile(cursor, dim, tile, gradients)) {
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
    for (size_t row = 0; row < rows.rows; row += kRowBlock) {
      const size_t block = rows.rows - row < kRowBlock ? rows.rows - row : kRowBlock;
      BackwardBlock<kNarrow>(rows, row, block, memory, tile, gradients.areWanted);
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

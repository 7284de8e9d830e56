// What the backward pass of attention works on, for the target being compiled: a tile's rows in panels, and where their gradients go. Included
// once per target.
#include "attention-narrow-inl.h"
#include "product-inl.h"

#if defined(LAGOON_ATTENTION_BACKWARD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_ATTENTION_BACKWARD_INL_H
#undef LAGOON_ATTENTION_BACKWARD_INL_H
#else
#define LAGOON_ATTENTION_BACKWARD_INL_H
#endif

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

// Converts rows into panels of 16 rows by channel and panels of 16 channels by row, each unless null. Rows up to the next whole panel
// are zero.
template <uint8_t kType>
void UnpackPanels(const uint8_t *const *rows, size_t count, size_t headDim, size_t padded, float *HWY_RESTRICT row,
                  float *HWY_RESTRICT byChannel, float *HWY_RESTRICT byRow) {
  const F32 d;
  for (size_t r = 0; r < WholePanels(count); ++r) {
    if (r < count) {
      UnpackRow<kType, false>(rows[r], headDim, padded, row);
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
HWY_INLINE void NextTile(GradientCursor &cursor, size_t headDim, Tile &tile, TileGradients &gradients) {
  cursor.Next(tile, [&](const lagoon_gradient_run &run, size_t row, size_t at) {
    gradients.dKeys[at] = run.dKeys == nullptr ? nullptr : run.dKeys + row * headDim;
    gradients.dValues[at] = run.dKeys == nullptr ? nullptr : run.dValues + row * headDim;
  });
  gradients.areWanted = false;
  for (size_t r = 0; r < tile.count; ++r) gradients.areWanted |= gradients.dKeys[r] != nullptr;
}

// What is brought nearer while a tile is computed on: the next one's keys and values, and where this one's gradients go. In even steps, as in the
// forward pass.
struct BackwardAhead {
  AheadInSteps keys, values, dKeys, dValues;

  HWY_INLINE void Step() {
    keys.Step();
    values.Step();
    dKeys.Step();
    dValues.Step();
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

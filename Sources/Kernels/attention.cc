// Attention of a few or of many query rows over contiguous keys and values, with online softmax, in tiles of 64 keys.
#include "attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "attention-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Converts one row to f32, padded with zeros.
template <uint8_t kType>
HWY_INLINE void UnpackRow(const uint8_t *from, size_t headDim, size_t padded, float *to) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  size_t c = 0;
  for (; c + kVector <= headDim; c += kVector) hn::Store(LoadFloats<kType>(from + c * kBytes), d, to + c);
  for (; c < headDim; ++c) to[c] = LoadElement(from, kType, c);
  for (; c < padded; ++c) to[c] = 0.0f;
}

// The tile's rows as f32, padded, in scratch.
template <uint8_t kType>
Tile Unpacked(const Tile &tile, size_t headDim, size_t padded, float *keys, float *values) {
  Tile to;
  to.count = tile.count;
  to.firstPosition = tile.firstPosition;
  for (size_t r = 0; r < tile.count; ++r, keys += padded, values += padded) {
    UnpackRow<kType>(tile.keys[r], headDim, padded, keys);
    UnpackRow<kType>(tile.values[r], headDim, padded, values);
    to.keys[r] = reinterpret_cast<const uint8_t *>(keys);
    to.values[r] = reinterpret_cast<const uint8_t *>(values);
  }
  return to;
}

template <uint8_t kType>
void AttendTyped(const lagoon_query_rows &rows, const lagoon_key_run *runs, size_t runCount,
                 const lagoon_key_run *next, size_t nextCount, float *scratch) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  float *weights = scratch;                          // [kMaxQueries, kKeyTile]
  float *keyTile = scratch + kMaxQueries * kKeyTile; // [kKeyTile, padded]
  float *valueTile = keyTile + kKeyTile * padded;    // [kKeyTile, padded]
  // Rows of whole vectors are read in place; narrow ones are converted once if several blocks use them. What
  // is computed from them is the same.
  const bool unpack = rows.headDim != padded || (kType != LAGOON_F32 && rows.rows > 2 * kMaxQueries);
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  TileCursor cursor(runs, runCount, rows.headDim * kBytes);
  Tile tiles[2];
  cursor.Next(tiles[0]);
  for (size_t i = 0, left = 1; left > 0; ++i) {
    const Tile &tile = tiles[i % 2];
    Tile &after = tiles[(i + 1) % 2];
    if (tile.count == 0) return;
    cursor.Next(after);
    left = after.count;
    if (left == 0) TileCursor(next, nextCount, rows.headDim * kBytes).Next(after);
    if (VisibleKeys(rows, rows.rows - 1, tile.count, tile.firstPosition) == 0) continue;
    if (unpack) {
      AttendTileRows<LAGOON_F32>(rows, Unpacked<kType>(tile, rows.headDim, padded, keyTile, valueTile), nullptr, weights);
    } else {
      AttendTileRows<kType>(rows, tile, &after, weights);
    }
  }
}

void Attend(const lagoon_query_rows &rows, const lagoon_key_run *runs, size_t runCount, const lagoon_key_run *next,
            size_t nextCount, uint8_t type, float *scratch) {
  if (rows.rows == 0) return;
  WithType(type, [&](auto known) HWY_ATTR {
    AttendTyped<known>(rows, runs, runCount, next, nextCount, scratch);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(Attend);
}  // namespace lagoon

extern "C" void lagoon_attend(const lagoon_query_rows *rows, const lagoon_key_run *runs, size_t runCount,
                              const lagoon_key_run *next, size_t nextCount, uint8_t type, float *scratch) {
  using namespace lagoon;
  LAGOON_DISPATCH(Attend)(*rows, runs, runCount, next, nextCount, type, scratch);
}

extern "C" size_t lagoon_padded_dim(size_t headDim) {
  return (headDim + lagoon::kRowAlign - 1) / lagoon::kRowAlign * lagoon::kRowAlign;
}

extern "C" size_t lagoon_attention_scratch(size_t headDim) {
  return (4 + 2 * lagoon_padded_dim(headDim)) * lagoon::kKeyTile + 2 * lagoon_padded_dim(headDim);
}
#endif

// Attention of a few or of many query rows over contiguous keys and values, with online softmax, in tiles of 64 keys.
#include "attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "attention-blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Converts one row to f32, padded with zeros; if kEvenOdd, a row of bf16 arranged as LoadChannels says.
template <uint8_t kType, bool kEvenOdd>
HWY_INLINE void UnpackRow(const uint8_t *from, size_t headDim, size_t padded, float *to) {
  constexpr size_t kBytes = ElementBytes(kType);
  constexpr size_t kVectors = kEvenOdd ? 2 : 1;
  const F32 d;
  size_t c = 0;
  for (; c + kVectors * kVector <= headDim; c += kVectors * kVector) {
    if constexpr (kEvenOdd) {
      Vector channels[2];
      LoadChannels<kType>(from + c * kBytes, channels);
      for (size_t v = 0; v < 2; ++v) hn::Store(channels[v], d, to + c + v * kVector);
    } else {
      hn::Store(LoadFloats<kType>(from + c * kBytes), d, to + c);
    }
  }
  for (; c < headDim; ++c) to[c] = LoadElement(from, kType, c);
  for (; c < padded; ++c) to[c] = 0.0f;
}

// The tile's rows as f32, padded, in scratch.
template <uint8_t kType, bool kEvenOdd>
Tile Unpacked(const Tile &tile, size_t headDim, size_t padded, float *keys, float *values) {
  Tile to;
  to.count = tile.count;
  to.firstPosition = tile.firstPosition;
  for (size_t r = 0; r < tile.count; ++r, keys += padded, values += padded) {
    UnpackRow<kType, kEvenOdd>(tile.keys[r], headDim, padded, keys);
    UnpackRow<kType, kEvenOdd>(tile.values[r], headDim, padded, values);
    to.keys[r] = reinterpret_cast<const uint8_t *>(keys);
    to.values[r] = reinterpret_cast<const uint8_t *>(values);
  }
  return to;
}

// Rows that are whole vectors are read in place; narrow ones are converted once if several blocks of queries use them. What
// is computed from them is the same.
template <uint8_t kType, bool kEvenOdd>
void AttendTyped(const lagoon_query_rows &rows, bool unpack, const lagoon_key_run *runs, size_t runCount,
                 const lagoon_key_run *next, size_t nextCount, float *scratch) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  float *work = scratch;                                // [rows, kKeyTile + 1]
  float *keyTile = scratch + AttentionWork(rows.rows);  // [kKeyTile, padded]
  float *valueTile = keyTile + kKeyTile * padded;       // [kKeyTile, padded]
  const size_t rowBytes = rows.headDim * ElementBytes(kType);
  TileCursor cursor(runs, runCount, rowBytes);
  Tile tiles[2];
  cursor.Next(tiles[0]);
  for (size_t i = 0, left = 1; left > 0; ++i) {
    const Tile &tile = tiles[i % 2];
    Tile &after = tiles[(i + 1) % 2];
    if (tile.count == 0) return;
    cursor.Next(after);
    left = after.count;
    if (left == 0) TileCursor(next, nextCount, rowBytes).Next(after);
    if (VisibleKeys(rows, rows.rows - 1, tile.count, tile.firstPosition) == 0) continue;
    if (unpack) {
      const Tile unpacked = Unpacked<kType, kEvenOdd>(tile, rows.headDim, padded, keyTile, valueTile);
      AttendFloats<kEvenOdd>(rows, unpacked, &after, rowBytes, work);
    } else if constexpr (kType == LAGOON_F32) {
      AttendFloats<false>(rows, tile, &after, rowBytes, work);
    } else if constexpr (kType != LAGOON_BF16 || kEvenOdd) {
      AttendFew<kType, kEvenOdd>(rows, tile, &after, work);
    }
  }
}

template <uint8_t kType>
void AttendTyped(const lagoon_query_rows &rows, const lagoon_key_run *runs, size_t runCount,
                 const lagoon_key_run *next, size_t nextCount, float *scratch) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  const bool unpack = rows.headDim != padded || (kType != LAGOON_F32 && rows.rows > kRowsInPlace);
  if constexpr (kType == LAGOON_BF16) {
    if (rows.headDim == padded && padded % (2 * kVector) == 0) {
      lagoon_query_rows arranged = rows;
      float *queries = scratch + AttentionWork(rows.rows) + 2 * kKeyTile * padded;  // [rows, padded]
      ArrangeEvenOdd(rows.queries, rows.rows * padded, queries);
      arranged.queries = queries;
      return AttendTyped<kType, true>(arranged, unpack, runs, runCount, next, nextCount, scratch);
    }
    return AttendTyped<kType, false>(rows, true, runs, runCount, next, nextCount, scratch);
  } else {
    AttendTyped<kType, false>(rows, unpack, runs, runCount, next, nextCount, scratch);
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

extern "C" size_t lagoon_attention_scratch(size_t headDim, size_t rows) {
  return lagoon::AttentionWork(rows) + (2 * lagoon::kKeyTile + (rows > 2 ? rows : 2)) * lagoon_padded_dim(headDim);
}
#endif

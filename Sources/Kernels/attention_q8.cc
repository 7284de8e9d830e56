// Attention over 8-bit rows: each tile of 64 rows is widened to f32 in the caches, then attended to as any other.
#include "attention.h"
#include "q8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention_q8.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "attention-blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

HWY_INLINE Vector Codes(const int8_t *from) {
  const hn::RebindToSigned<U32> wide;
  return hn::ConvertTo(F32(), hn::PromoteTo(wide, hn::LoadU(hn::Rebind<int8_t, F32>(), from)));
}

// zeros and scales of a block's keys as f32, padded with 0.
HWY_INLINE void WidenRanges(const Q8Block &block, size_t headDim, size_t padded, float *zeros, float *scales) {
  size_t c = 0;
  for (; c < headDim; ++c) {
    zeros[c] = LoadElement(block.keyZeros, LAGOON_BF16, c);
    scales[c] = LoadElement(block.keyScales, LAGOON_BF16, c);
  }
  for (; c < padded; ++c) zeros[c] = scales[c] = 0.0f;
}

// One row of keys and one of values as f32, padded with 0.
HWY_INLINE void WidenRow(const Q8Block &block, size_t row, size_t headDim, size_t padded, const float *zeros,
                         const float *scales, float *HWY_RESTRICT key, float *HWY_RESTRICT value) {
  const F32 d;
  const int8_t *keys = block.keys + row * headDim;
  const int8_t *values = block.values + row * headDim;
  const auto zero = hn::Set(d, LoadElement(block.valueZeros, LAGOON_BF16, row));
  const auto scale = hn::Set(d, LoadElement(block.valueScales, LAGOON_BF16, row));
  size_t c = 0;
  for (; c + kVector <= headDim; c += kVector) {
    hn::Store(hn::MulAdd(Codes(keys + c), hn::Load(d, scales + c), hn::Load(d, zeros + c)), d, key + c);
    hn::Store(hn::MulAdd(Codes(values + c), scale, zero), d, value + c);
  }
  for (; c < headDim; ++c) {
    key[c] = block.Key(row, c, headDim);
    value[c] = block.Value(row, c, headDim);
  }
  for (; c < padded; ++c) key[c] = value[c] = 0.0f;
}

void AttendQ8(const lagoon_query_rows &rows, const lagoon_q8_run *runs, size_t runCount, float *scratch) {
  if (rows.rows == 0) return;
  const size_t padded = lagoon_padded_dim(rows.headDim);
  float *work = scratch;                              // [rows, kKeyTile + 1]
  float *keys = scratch + AttentionWork(rows.rows);   // [kKeyTile, padded]
  float *values = keys + kKeyTile * padded;           // [kKeyTile, padded]
  float *zeros = values + kKeyTile * padded;          // [padded]
  float *scales = zeros + padded;                     // [padded]
  Tile tile;
  tile.count = 0;
  tile.firstPosition = LAGOON_VISIBLE_TO_ALL;
  for (size_t i = 0; i < runCount; ++i) {
    if (runs[i].count == 0) continue;
    const Q8Block block(runs[i].block, runs[i].count, rows.headDim);
    // The next block is fetched meanwhile, as a row of its own.
    const bool isLast = i + 1 == runCount;
    const auto *next = static_cast<const uint8_t *>(isLast ? nullptr : runs[i + 1].block);
    const size_t nextBytes = isLast ? 0 : lagoon_q8_bytes(runs[i + 1].count, rows.headDim);
    AheadInSteps ahead(&next, isLast ? 0 : 1, nextBytes, runs[i].count);
    WidenRanges(block, rows.headDim, padded, zeros, scales);
    for (size_t r = 0; r < runs[i].count; ++r) {
      ahead.Step();
      float *key = keys + tile.count * padded;
      float *value = values + tile.count * padded;
      WidenRow(block, r, rows.headDim, padded, zeros, scales, key, value);
      tile.keys[tile.count] = reinterpret_cast<const uint8_t *>(key);
      tile.values[tile.count++] = reinterpret_cast<const uint8_t *>(value);
      if (tile.count < kKeyTile) continue;
      AttendFloats<false>(rows, tile, nullptr, 0, work);
      tile.count = 0;
    }
  }
  if (tile.count > 0) AttendFloats<false>(rows, tile, nullptr, 0, work);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(AttendQ8);
}  // namespace lagoon

extern "C" void lagoon_attend_q8(const lagoon_query_rows *rows, const lagoon_q8_run *runs, size_t runCount,
                                 float *scratch) {
  using namespace lagoon;
  LAGOON_DISPATCH(AttendQ8)(*rows, runs, runCount, scratch);
}
#endif

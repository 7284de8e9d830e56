// Attention of a few or of many query rows over contiguous keys and values, with online softmax.
//
// Keys are taken in tiles of 64. For each tile and each block of up to kMaxQueries query rows: logits, a
// blocked product along the channels, some keys at a time; their exponentials; the weighted values, a blocked
// product along the keys. Blocks only decide what is in registers together: each row's sums run in the same order in
// every block, so a row's bits don't depend on the rows beside it.
#include "attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "exponential-inl.h"
#include "hwy/cache_control.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Query rows per block: as many as the query heads that models have for a KV head, so that what is converted for
// one query serves them all.
constexpr size_t kMaxQueries = 4;

// Keys, or vectors of values, beside them: the sums fill most registers of the target.
constexpr size_t kAbreast = (HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86) || HWY_ARCH_ARM_A64 ? 4 : 2;

using Quad = hn::FixedTag<float, 4>;

// Adds the upper half of a vector to the lower one until four lanes are left.
template <class D>
HWY_INLINE hn::Vec<Quad> FoldBlocks(D d, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return FoldBlocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

// The sums over the lanes of a, b, c and e, always in the same order.
HWY_INLINE hn::Vec<Quad> SumsOfFour(Vector a, Vector b, Vector c, Vector e) {
  const F32 d;
  const hn::RepartitionToWide<U32> wide;
  const auto ab = hn::BitCast(wide, hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  const auto ce = hn::BitCast(wide, hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e)));
  const auto lower = hn::BitCast(d, hn::InterleaveLower(wide, ab, ce));
  const auto upper = hn::BitCast(d, hn::InterleaveUpper(wide, ab, ce));
  return FoldBlocks(d, hn::Add(lower, upper));
}

// A row of the next tile. Runs are as short as a page, where the hardware's own prefetching ends.
HWY_INLINE void PrefetchRow(const uint8_t *row, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 64) hwy::Prefetch(row + i);
}

// logits[q * kKeyTile + r] = query q · key r, for r < keys; up to three values behind are overwritten. Meanwhile the rows of
// `next`, unless it is null, come nearer.
template <uint8_t kType, size_t kQueries>
HWY_INLINE void Logits(const float *HWY_RESTRICT queries, size_t padded, const Tile &tile, size_t keys,
                       const Tile *next, float *HWY_RESTRICT logits) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  constexpr size_t kKeys = kQueries == 4 ? kAbreast : 4;
  const F32 d;
  for (size_t r = 0; r < keys; r += kKeys) {
    const uint8_t *key[kKeys];
    for (size_t k = 0; k < kKeys; ++k) key[k] = tile.keys[r + k < keys ? r + k : keys - 1];
    if (next != nullptr) {
      for (size_t k = r; k < r + kKeys && k < next->count; ++k) {
        PrefetchRow(next->keys[k], padded * kBytes);
        PrefetchRow(next->values[k], padded * kBytes);
      }
    }
    Vector sums[kQueries][kKeys];
    for (size_t q = 0; q < kQueries; ++q) {
      for (size_t k = 0; k < kKeys; ++k) sums[q][k] = hn::Zero(d);
    }
    for (size_t c = 0; c < padded; c += kVector) {
      Vector channels[kKeys];
      for (size_t k = 0; k < kKeys; ++k) channels[k] = LoadFloats<kType>(key[k] + c * kBytes);
      for (size_t q = 0; q < kQueries; ++q) {
        const auto query = hn::Load(d, queries + q * padded + c);
        for (size_t k = 0; k < kKeys; ++k) sums[q][k] = hn::MulAdd(query, channels[k], sums[q][k]);
      }
    }
    if constexpr (kKeys == 4) {
      for (size_t q = 0; q < kQueries; ++q) {
        hn::StoreU(SumsOfFour(sums[q][0], sums[q][1], sums[q][2], sums[q][3]), Quad(),
                   logits + q * kKeyTile + r);
      }
    } else {
      for (size_t q = 0; q < kQueries; q += 2) {
        const auto both = SumsOfFour(sums[q][0], sums[q][1], sums[q + 1][0], sums[q + 1][1]);
        const hn::Half<Quad> pair;
        hn::StoreU(hn::LowerHalf(pair, both), pair, logits + q * kKeyTile + r);
        hn::StoreU(hn::UpperHalf(pair, both), pair, logits + (q + 1) * kKeyTile + r);
      }
    }
  }
}

// Turns one row's logits of a tile into weights, 0 from `visible` to `keys`, and updates its maximum and sum.
// Returns what earlier sums are multiplied by.
HWY_INLINE float Weigh(float *HWY_RESTRICT logits, size_t visible, size_t keys, float *maximum, float *sum) {
  const F32 d;
  if (visible == 0) {
    for (size_t r = 0; r < keys; r += kVector) hn::Store(hn::Zero(d), d, logits + r);
    return 1.0f;
  }
  constexpr float kLargest = 3.4028234663852886e38f;
  for (size_t r = visible; r < keys || r % kVector != 0; ++r) logits[r] = -HUGE_VALF;
  auto most = hn::Set(d, *maximum);
  for (size_t r = 0; r < keys; r += kVector) {
    // A product that has overflowed counts as the largest float, so that differences stay numbers.
    const auto logit = hn::Min(hn::Load(d, logits + r), hn::Set(d, kLargest));
    hn::Store(logit, d, logits + r);
    most = hn::Max(most, logit);
  }
  const float largest = HWY_MAX(hn::GetLane(hn::MaxOfLanes(d, most)), -kLargest);
  const auto largests = hn::Set(d, largest);
  auto sums = hn::Zero(d);
  for (size_t r = 0; r < keys; r += kVector) {
    const auto weight = FastExponentials(hn::Sub(hn::Load(d, logits + r), largests));
    hn::Store(weight, d, logits + r);
    sums = hn::Add(sums, weight);
  }
  const float decay = hn::GetLane(FastExponentials(hn::Sub(hn::Set(d, *maximum), largests)));
  *maximum = largest;
  *sum = *sum * decay + hn::GetLane(hn::SumOfLanes(d, sums));
  return decay;
}

// weighted[q] = weighted[q] * decay[q] + Σ weights[q][r] * value r, over kVectors vectors of channels.
template <uint8_t kType, size_t kQueries, size_t kVectors>
HWY_INLINE void AddValues(const float *HWY_RESTRICT weights, const float *decay, const Tile &tile, size_t keys,
                          size_t channel, float *HWY_RESTRICT weighted, size_t padded) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  Vector sums[kQueries][kVectors];
  for (size_t q = 0; q < kQueries; ++q) {
    for (size_t v = 0; v < kVectors; ++v) sums[q][v] = hn::Zero(d);
  }
  for (size_t r = 0; r < keys; ++r) {
    const uint8_t *from = tile.values[r] + channel * kBytes;
    Vector values[kVectors];
    for (size_t v = 0; v < kVectors; ++v) values[v] = LoadFloats<kType>(from + v * kVector * kBytes);
    for (size_t q = 0; q < kQueries; ++q) {
      const auto weight = hn::Set(d, weights[q * kKeyTile + r]);
      for (size_t v = 0; v < kVectors; ++v) sums[q][v] = hn::MulAdd(weight, values[v], sums[q][v]);
    }
  }
  for (size_t q = 0; q < kQueries; ++q) {
    const auto decays = hn::Set(d, decay[q]);
    for (size_t v = 0; v < kVectors; ++v) {
      float *at = weighted + q * padded + channel + v * kVector;
      hn::Store(hn::MulAdd(hn::Load(d, at), decays, sums[q][v]), d, at);
    }
  }
}

// One tile for the kQueries rows from `row` on. `next` is the tile after it, or null.
template <uint8_t kType, size_t kQueries>
void AttendTile(const lagoon_query_rows &rows, size_t row, const Tile &tile, const Tile *next,
                float *HWY_RESTRICT weights) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  // Later rows see at least as much.
  const size_t seen = VisibleKeys(rows, row + kQueries - 1, tile.count, tile.firstPosition);
  if (seen == 0) return;
  Logits<kType, kQueries>(rows.queries + row * padded, padded, tile, seen, next, weights);
  float decay[kQueries];
  for (size_t q = 0; q < kQueries; ++q) {
    const size_t visible = VisibleKeys(rows, row + q, tile.count, tile.firstPosition);
    decay[q] = Weigh(weights + q * kKeyTile, visible, seen, rows.maximum + row + q, rows.sum + row + q);
  }
  constexpr size_t kVectors = kQueries == 4 ? kAbreast : 4;
  float *weighted = rows.weighted + row * padded;
  size_t c = 0;
  for (; c + kVectors * kVector <= padded; c += kVectors * kVector) {
    AddValues<kType, kQueries, kVectors>(weights, decay, tile, seen, c, weighted, padded);
  }
  for (; c < padded; c += kVector) {
    AddValues<kType, kQueries, 1>(weights, decay, tile, seen, c, weighted, padded);
  }
}

template <uint8_t kType>
void AttendTileRows(const lagoon_query_rows &rows, const Tile &tile, const Tile *next, float *weights) {
  size_t row = 0;
  for (; row + kMaxQueries <= rows.rows; row += kMaxQueries, next = nullptr) {
    AttendTile<kType, kMaxQueries>(rows, row, tile, next, weights);
  }
  for (; row + 2 <= rows.rows; row += 2, next = nullptr) {
    AttendTile<kType, 2>(rows, row, tile, next, weights);
  }
  if (row < rows.rows) AttendTile<kType, 1>(rows, row, tile, next, weights);
}

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
void AttendTyped(const lagoon_query_rows &rows, const lagoon_key_run *runs, size_t runCount, float *scratch) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  float *weights = scratch;                          // [kMaxQueries, kKeyTile]
  float *keyTile = scratch + kMaxQueries * kKeyTile; // [kKeyTile, padded]
  float *valueTile = keyTile + kKeyTile * padded;    // [kKeyTile, padded]
  // Rows of whole vectors are read in place; narrow ones are converted once if several blocks use them. What
  // is computed from them is the same.
  const bool unpack = rows.headDim != padded || (kType != LAGOON_F32 && rows.rows > 2 * kMaxQueries);
  TileCursor cursor(runs, runCount, rows.headDim * (kType == LAGOON_F32 ? 4 : 2));
  Tile tiles[2];
  cursor.Next(tiles[0]);
  for (size_t i = 0; tiles[i % 2].count > 0; ++i) {
    const Tile &tile = tiles[i % 2];
    Tile &next = tiles[(i + 1) % 2];
    cursor.Next(next);
    if (VisibleKeys(rows, rows.rows - 1, tile.count, tile.firstPosition) == 0) continue;
    if (unpack) {
      AttendTileRows<LAGOON_F32>(rows, Unpacked<kType>(tile, rows.headDim, padded, keyTile, valueTile), nullptr, weights);
    } else {
      AttendTileRows<kType>(rows, tile, &next, weights);
    }
  }
}

void Attend(const lagoon_query_rows &rows, const lagoon_key_run *runs, size_t runCount, uint8_t type,
            float *scratch) {
  if (rows.rows == 0) return;
  WithType(type, [&](auto known) HWY_ATTR { AttendTyped<known>(rows, runs, runCount, scratch); });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(Attend);
}  // namespace lagoon

extern "C" void lagoon_attend(const lagoon_query_rows *rows, const lagoon_key_run *runs, size_t runCount,
                              uint8_t type, float *scratch) {
  using namespace lagoon;
  LAGOON_DISPATCH(Attend)(*rows, runs, runCount, type, scratch);
}

extern "C" size_t lagoon_padded_dim(size_t headDim) {
  return (headDim + lagoon::kRowAlign - 1) / lagoon::kRowAlign * lagoon::kRowAlign;
}

extern "C" size_t lagoon_attention_scratch(size_t headDim) {
  return (4 + 2 * lagoon_padded_dim(headDim)) * lagoon::kKeyTile;
}
#endif

// Attention of a few or of many query rows over contiguous keys and values, with online softmax.
//
// Keys are taken in tiles of 64. For each tile and each block of up to kMaxQueries query rows: logits, a
// blocked product along the channels, four keys at a time; their exponentials; the weighted values, a blocked
// product along the keys. Blocks only decide what is in registers together: each row's sums run in the same order in
// every block, so a row's bits don't depend on the rows beside it.
#include "attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "exponential-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Query rows per block: with four keys or four vectors of values they fill the registers of the target.
constexpr size_t kMaxQueries = HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86 ? 4 : 2;

// Keys or values of one tile: rows `stride` bytes apart.
struct Tile {
  const uint8_t *base;
  size_t stride;
};

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

// logits[q * kKeyTile + r] = query q · key r, for r < keys; up to three values behind are overwritten.
template <uint8_t kType, size_t kQueries>
HWY_INLINE void Logits(const float *HWY_RESTRICT queries, size_t padded, Tile tile, size_t keys,
                       float *HWY_RESTRICT logits) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  for (size_t r = 0; r < keys; r += 4) {
    const uint8_t *key[4];
    for (size_t k = 0; k < 4; ++k) key[k] = tile.base + (r + k < keys ? r + k : keys - 1) * tile.stride;
    Vector sums[kQueries][4];
    for (size_t q = 0; q < kQueries; ++q) {
      for (size_t k = 0; k < 4; ++k) sums[q][k] = hn::Zero(d);
    }
    for (size_t c = 0; c < padded; c += kVector) {
      Vector channels[4];
      for (size_t k = 0; k < 4; ++k) channels[k] = LoadFloats<kType>(key[k] + c * kBytes);
      for (size_t q = 0; q < kQueries; ++q) {
        const auto query = hn::Load(d, queries + q * padded + c);
        for (size_t k = 0; k < 4; ++k) sums[q][k] = hn::MulAdd(query, channels[k], sums[q][k]);
      }
    }
    for (size_t q = 0; q < kQueries; ++q) {
      hn::StoreU(SumsOfFour(sums[q][0], sums[q][1], sums[q][2], sums[q][3]), Quad(),
                 logits + q * kKeyTile + r);
    }
  }
}

// Turns one row's logits of a tile into weights, 0 from `visible` on, and updates its maximum and sum.
// Returns what earlier sums are multiplied by.
HWY_INLINE float Weigh(float *HWY_RESTRICT logits, size_t visible, float *maximum, float *sum) {
  const F32 d;
  if (visible == 0) {
    for (size_t r = 0; r < kKeyTile; r += kVector) hn::Store(hn::Zero(d), d, logits + r);
    return 1.0f;
  }
  constexpr float kLargest = 3.4028234663852886e38f;
  for (size_t r = visible; r < kKeyTile; ++r) logits[r] = -HUGE_VALF;
  auto most = hn::Set(d, *maximum);
  for (size_t r = 0; r < kKeyTile; r += kVector) {
    // A product that has overflowed counts as the largest float, so that differences stay numbers.
    const auto logit = hn::Min(hn::Load(d, logits + r), hn::Set(d, kLargest));
    hn::Store(logit, d, logits + r);
    most = hn::Max(most, logit);
  }
  const float largest = HWY_MAX(hn::GetLane(hn::MaxOfLanes(d, most)), -kLargest);
  const auto largests = hn::Set(d, largest);
  auto sums = hn::Zero(d);
  for (size_t r = 0; r < kKeyTile; r += kVector) {
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
HWY_INLINE void AddValues(const float *HWY_RESTRICT weights, const float *decay, Tile tile, size_t keys,
                          size_t channel, float *HWY_RESTRICT weighted, size_t padded) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  Vector sums[kQueries][kVectors];
  for (size_t q = 0; q < kQueries; ++q) {
    for (size_t v = 0; v < kVectors; ++v) sums[q][v] = hn::Zero(d);
  }
  const uint8_t *from = tile.base + channel * kBytes;
  for (size_t r = 0; r < keys; ++r, from += tile.stride) {
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

// One tile for the kQueries rows from `row` on. `first` is the tile's first key.
template <uint8_t kType, size_t kQueries>
void AttendTile(const lagoon_query_rows &rows, size_t row, Tile keys, Tile values, size_t count,
                size_t first, int64_t firstPosition, float *HWY_RESTRICT weights) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  // Later rows see at least as much.
  const size_t seen = VisibleKeys(rows, row + kQueries - 1, count, firstPosition);
  if (seen <= first) return;
  const size_t tileKeys = seen - first < kKeyTile ? seen - first : kKeyTile;
  Logits<kType, kQueries>(rows.queries + row * padded, padded, keys, tileKeys, weights);
  float decay[kQueries];
  for (size_t q = 0; q < kQueries; ++q) {
    const size_t own = VisibleKeys(rows, row + q, count, firstPosition);
    const size_t visible = own <= first ? 0 : own - first < tileKeys ? own - first : tileKeys;
    decay[q] = Weigh(weights + q * kKeyTile, visible, rows.maximum + row + q, rows.sum + row + q);
  }
  float *weighted = rows.weighted + row * padded;
  size_t c = 0;
  for (; c + 4 * kVector <= padded; c += 4 * kVector) {
    AddValues<kType, kQueries, 4>(weights, decay, values, tileKeys, c, weighted, padded);
  }
  for (; c + 2 * kVector <= padded; c += 2 * kVector) {
    AddValues<kType, kQueries, 2>(weights, decay, values, tileKeys, c, weighted, padded);
  }
  for (; c < padded; c += kVector) {
    AddValues<kType, kQueries, 1>(weights, decay, values, tileKeys, c, weighted, padded);
  }
}

template <uint8_t kType>
void AttendTileRows(const lagoon_query_rows &rows, Tile keys, Tile values, size_t count, size_t first,
                    int64_t firstPosition, float *weights) {
  size_t row = 0;
  for (; row + kMaxQueries <= rows.rows; row += kMaxQueries) {
    AttendTile<kType, kMaxQueries>(rows, row, keys, values, count, first, firstPosition, weights);
  }
  for (; row < rows.rows; ++row) {
    AttendTile<kType, 1>(rows, row, keys, values, count, first, firstPosition, weights);
  }
}

// Converts `count` rows to f32, padded with zeros.
template <uint8_t kType>
void UnpackRows(const uint8_t *from, size_t count, size_t headDim, size_t padded, float *to) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  for (size_t r = 0; r < count; ++r, from += headDim * kBytes, to += padded) {
    size_t c = 0;
    for (; c + kVector <= headDim; c += kVector) hn::Store(LoadFloats<kType>(from + c * kBytes), d, to + c);
    for (; c < headDim; ++c) to[c] = LoadElement(from, kType, c);
    for (; c < padded; ++c) to[c] = 0.0f;
  }
}

template <uint8_t kType>
void AttendTyped(const lagoon_query_rows &rows, const uint8_t *keys, const uint8_t *values, size_t count,
                 int64_t firstPosition, float *scratch) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  const size_t rowBytes = rows.headDim * (kType == LAGOON_F32 ? 4 : 2);
  float *weights = scratch;                          // [kMaxQueries, kKeyTile]
  float *keyTile = scratch + 4 * kKeyTile;           // [kKeyTile, padded]
  float *valueTile = keyTile + kKeyTile * padded;    // [kKeyTile, padded]
  // Rows of whole vectors are read in place; narrow ones are converted once if several blocks use them. What
  // is computed from them is the same.
  const bool unpack = rows.headDim != padded || (kType != LAGOON_F32 && rows.rows > kMaxQueries);
  const size_t seen = VisibleKeys(rows, rows.rows - 1, count, firstPosition);
  for (size_t first = 0; first < seen; first += kKeyTile) {
    const uint8_t *tileKeys = keys + first * rowBytes;
    const uint8_t *tileValues = values + first * rowBytes;
    if (unpack) {
      const size_t used = seen - first < kKeyTile ? seen - first : kKeyTile;
      UnpackRows<kType>(tileKeys, used, rows.headDim, padded, keyTile);
      UnpackRows<kType>(tileValues, used, rows.headDim, padded, valueTile);
      AttendTileRows<LAGOON_F32>(rows, {reinterpret_cast<const uint8_t *>(keyTile), 4 * padded},
                                 {reinterpret_cast<const uint8_t *>(valueTile), 4 * padded}, count, first,
                                 firstPosition, weights);
    } else {
      AttendTileRows<kType>(rows, {tileKeys, rowBytes}, {tileValues, rowBytes}, count, first, firstPosition,
                            weights);
    }
  }
}

void Attend(const lagoon_query_rows &rows, const uint8_t *keys, const uint8_t *values, uint8_t type,
            size_t count, int64_t firstPosition, float *scratch) {
  if (rows.rows == 0 || count == 0) return;
  WithType(type, [&](auto known) HWY_ATTR {
    AttendTyped<known>(rows, keys, values, count, firstPosition, scratch);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(Attend);
}  // namespace lagoon

extern "C" void lagoon_attend(const lagoon_query_rows *rows, const void *keys, const void *values,
                              uint8_t type, size_t count, int64_t firstPosition, float *scratch) {
  using namespace lagoon;
  LAGOON_DISPATCH(Attend)(*rows, static_cast<const uint8_t *>(keys), static_cast<const uint8_t *>(values),
                          type, count, firstPosition, scratch);
}

extern "C" size_t lagoon_padded_dim(size_t headDim) {
  return (headDim + lagoon::kRowAlign - 1) / lagoon::kRowAlign * lagoon::kRowAlign;
}

extern "C" size_t lagoon_attention_scratch(size_t headDim) {
  return (4 + 2 * lagoon_padded_dim(headDim)) * lagoon::kKeyTile;
}
#endif

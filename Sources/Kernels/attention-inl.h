// One tile of attention, for the target being compiled: what attention.cc and attention_q8.cc share. Included once per
// target.
//
// For each block of up to kMaxQueries query rows: logits, a blocked product along the channels, some keys at a time; their
// exponentials; the weighted values, a blocked product along the keys. Blocks only decide what is in registers together:
// each row's sums run in the same order in every block, so a row's bits don't depend on the rows beside it.
#include "attention.h"
#include "exponential-inl.h"
#include "hwy/cache_control.h"

#if defined(LAGOON_ATTENTION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_ATTENTION_INL_H
#undef LAGOON_ATTENTION_INL_H
#else
#define LAGOON_ATTENTION_INL_H
#endif

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

// Brings the rows of the tile after this one nearer while this one is computed on, line by line and evenly: a CPU drops a
// prefetch that finds all of its miss buffers taken, so a burst of them is lost, and pages as short as a head's rows in a slab end
// the hardware's own prefetching.
template <uint8_t kType>
class Ahead {
 public:
  // `next` may be null.
  Ahead(const Tile *next, size_t padded)
      : next_(next != nullptr && next->count == kKeyTile && padded * kBytes % 64 == 0 ? next : nullptr),
        perRow_(padded * kBytes / 64) {}

  // A share of the keys of rows r … r + kKeys, for each vector of channels from 0 on.
  template <size_t kKeys>
  HWY_INLINE void Keys(size_t r, size_t vector) const {
    if (next_ != nullptr) Fetch<kVector * kBytes * kKeys>(next_->keys + r, vector);
  }

  // A share of the values, for row r of each block of kVectors vectors of channels.
  template <size_t kVectors>
  HWY_INLINE void Values(size_t r, size_t block) const {
    if (next_ != nullptr) Fetch<kVectors * kVector * kBytes>(next_->values, block * kKeyTile + r);
  }

 private:
  static constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;

  // Share `i` of kShare bytes of the rows from `first` on, in whole lines.
  template <size_t kShare>
  HWY_INLINE void Fetch(const uint8_t *const *first, size_t i) const {
    if constexpr (kShare < 64) {
      if (i % (64 / kShare) == 0) FetchLine(first, i / (64 / kShare));
    } else {
      for (size_t line = i * (kShare / 64); line < (i + 1) * (kShare / 64); ++line) FetchLine(first, line);
    }
  }
  HWY_INLINE void FetchLine(const uint8_t *const *first, size_t line) const {
    hwy::Prefetch(first[line / perRow_] + line % perRow_ * 64);
  }

  const Tile *next_;
  size_t perRow_;  // lines
};

// logits[q * kKeyTile + r] = query q · key r, for r < keys; up to three values behind are overwritten.
template <uint8_t kType, size_t kQueries>
HWY_INLINE void Logits(const float *HWY_RESTRICT queries, size_t padded, const Tile &tile, size_t keys,
                       const Ahead<kType> &ahead, float *HWY_RESTRICT logits) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  constexpr size_t kKeys = kQueries == 4 ? kAbreast : 4;
  const F32 d;
  for (size_t r = 0; r < keys; r += kKeys) {
    const uint8_t *key[kKeys];
    for (size_t k = 0; k < kKeys; ++k) key[k] = tile.keys[r + k < keys ? r + k : keys - 1];
    Vector sums[kQueries][kKeys];
    for (size_t q = 0; q < kQueries; ++q) {
      for (size_t k = 0; k < kKeys; ++k) sums[q][k] = hn::Zero(d);
    }
    for (size_t c = 0; c < padded; c += kVector) {
      ahead.template Keys<kKeys>(r, c / kVector);
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
                          size_t channel, const Ahead<kType> &ahead, float *HWY_RESTRICT weighted, size_t padded) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  Vector sums[kQueries][kVectors];
  for (size_t q = 0; q < kQueries; ++q) {
    for (size_t v = 0; v < kVectors; ++v) sums[q][v] = hn::Zero(d);
  }
  for (size_t r = 0; r < keys; ++r) {
    ahead.template Values<kVectors>(r, channel / (kVectors * kVector));
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
  const Ahead<kType> ahead(next, padded);
  Logits<kType, kQueries>(rows.queries + row * padded, padded, tile, seen, ahead, weights);
  float decay[kQueries];
  for (size_t q = 0; q < kQueries; ++q) {
    const size_t visible = VisibleKeys(rows, row + q, tile.count, tile.firstPosition);
    decay[q] = Weigh(weights + q * kKeyTile, visible, seen, rows.maximum + row + q, rows.sum + row + q);
  }
  constexpr size_t kVectors = kQueries == 4 ? kAbreast : 4;
  float *weighted = rows.weighted + row * padded;
  size_t c = 0;
  for (; c + kVectors * kVector <= padded; c += kVectors * kVector) {
    AddValues<kType, kQueries, kVectors>(weights, decay, tile, seen, c, ahead, weighted, padded);
  }
  for (; c < padded; c += kVector) {
    AddValues<kType, kQueries, 1>(weights, decay, tile, seen, c, ahead, weighted, padded);
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

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

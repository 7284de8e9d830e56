// From a tile's logits to its weights, for the target being compiled: their exponentials, with the running maximum and sum of each row. Included once
// per target.
#include "attention.h"
#include "exponential-inl.h"

#if defined(LAGOON_ATTENTION_WEIGHTS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_ATTENTION_WEIGHTS_INL_H
#undef LAGOON_ATTENTION_WEIGHTS_INL_H
#else
#define LAGOON_ATTENTION_WEIGHTS_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

constexpr float kLargest = 3.4028234663852886e38f;

// A product that has overflowed counts as the largest float, so that differences stay numbers.
template <class D>
HWY_INLINE hn::Vec<D> Limited(D d, hn::Vec<D> logits) {
  return hn::Min(logits, hn::Set(d, kLargest));
}

// A number for each of four vectors, which takes fewer instructions together than one after the other.
using Quad = hn::FixedTag<float, 4>;

// The upper half of a vector together with the lower one until four lanes are left.
template <class D, class Together>
HWY_INLINE hn::Vec<Quad> FoldBlocks(D d, hn::Vec<D> v, const Together &together) {
  if constexpr (hn::MaxLanes(d) == 4) {
    return v;
  } else {
    const hn::Half<D> half;
    return FoldBlocks(half, together(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), together);
  }
}

// The sums over the lanes of a, b, c and e, always in the same order.
HWY_INLINE hn::Vec<Quad> SumsOfFour(Vector a, Vector b, Vector c, Vector e) {
  const auto add = [](auto x, auto y) HWY_ATTR { return hn::Add(x, y); };
  return FoldBlocks(F32(), BlockSums(a, b, c, e), add);
}

// The largest lanes of a, b, c and e.
HWY_INLINE hn::Vec<Quad> LargestOfFour(Vector a, Vector b, Vector c, Vector e) {
  const auto larger = [](auto x, auto y) HWY_ATTR { return hn::Max(x, y); };
  return FoldBlocks(F32(), BlocksOfFour(a, b, c, e, larger), larger);
}

// The numbers of kRows rows, up to four; the last one's also stands for rows that are lacking.
template <size_t kRows>
HWY_INLINE hn::Vec<Quad> LoadRows(const float *from) {
  if constexpr (kRows == 4) {
    return hn::LoadU(Quad(), from);
  } else {
    HWY_ALIGN float numbers[4];
    for (size_t q = 0; q < 4; ++q) numbers[q] = from[HWY_MIN(q, kRows - 1)];
    return hn::Load(Quad(), numbers);
  }
}

template <size_t kRows>
HWY_INLINE void StoreRows(hn::Vec<Quad> v, float *to) {
  if constexpr (kRows == 4) {
    hn::StoreU(v, Quad(), to);
  } else {
    HWY_ALIGN float numbers[4];
    hn::Store(v, Quad(), numbers);
    for (size_t q = 0; q < kRows; ++q) to[q] = numbers[q];
  }
}

// Turns kRows rows of logits, [kRows, kKeyTile], into weights, and updates the rows' maxima and sums. What earlier sums of weighted values are multiplied by
// goes to `decay`. A logit of -infinity has no weight. Of a whole tile, or of the first `anyKeys` keys, up to a whole vector.
// Never inlined: a few rows' loops over keys and values, around it, become 4% slower.
template <size_t kRows, bool kWhole>
HWY_NOINLINE void Weigh(float *HWY_RESTRICT logits, size_t anyKeys, float *HWY_RESTRICT maximum, float *HWY_RESTRICT sum,
                      float *HWY_RESTRICT decay) {
  const F32 d;
  const Quad quad;
  const size_t keys = kWhole ? kKeyTile : anyKeys;
  Vector ofRows[4];
  for (size_t q = 0; q < kRows; ++q) {
    const float *row = logits + q * kKeyTile;
    ofRows[q] = hn::Load(d, row);
    for (size_t r = kVector; r < keys; r += kVector) ofRows[q] = hn::Max(ofRows[q], hn::Load(d, row + r));
  }
  for (size_t q = kRows; q < 4; ++q) ofRows[q] = ofRows[kRows - 1];
  const auto before = LoadRows<kRows>(maximum);
  const auto after = hn::Max(before, LargestOfFour(ofRows[0], ofRows[1], ofRows[2], ofRows[3]));
  StoreRows<kRows>(after, maximum);
  // A row that has seen nothing keeps its -infinity.
  const auto subtracted = hn::Max(after, hn::Set(quad, -kLargest));
  HWY_ALIGN float largest[4];
  hn::Store(subtracted, quad, largest);
  for (size_t q = 0; q < kRows; ++q) {
    float *row = logits + q * kKeyTile;
    const auto mostOfRow = hn::Set(d, largest[q]);
    ofRows[q] = hn::Zero(d);
    for (size_t r = 0; r < keys; r += kVector) {
      const auto weights = FastExponentials(hn::Sub(hn::Load(d, row + r), mostOfRow));
      hn::Store(weights, d, row + r);
      ofRows[q] = hn::Add(ofRows[q], weights);
    }
  }
  for (size_t q = kRows; q < 4; ++q) ofRows[q] = ofRows[kRows - 1];
  HWY_ALIGN float differences[4];
  HWY_ALIGN float exponentials[kVector];
  hn::Store(hn::Sub(before, subtracted), quad, differences);
  hn::Store(FastExponentials(hn::LoadDup128(d, differences)), d, exponentials);
  const auto decays = hn::Load(quad, exponentials);
  StoreRows<kRows>(decays, decay);
  const auto sums = SumsOfFour(ofRows[0], ofRows[1], ofRows[2], ofRows[3]);
  StoreRows<kRows>(hn::MulAdd(LoadRows<kRows>(sum), decays, sums), sum);
}

// The same for kRows query rows from `row` on, of which each sees none, some or all of `keys` keys of the tile.
template <size_t kRows>
HWY_INLINE void WeighRows(const lagoon_query_rows &rows, const Tile &tile, size_t row, size_t keys,
                          float *HWY_RESTRICT weights, float *HWY_RESTRICT decay) {
  float *logits = weights + row * kKeyTile;
  float *maximum = rows.maximum + row;
  float *sum = rows.sum + row;
  if (keys == kKeyTile && tile.firstPosition == LAGOON_VISIBLE_TO_ALL) {
    return Weigh<kRows, true>(logits, kKeyTile, maximum, sum, decay + row);
  }
  for (size_t q = 0; q < kRows; ++q) {
    const size_t visible = VisibleKeys(rows, row + q, keys, tile.firstPosition);
    for (size_t r = visible; r < keys || r % kVector != 0; ++r) logits[q * kKeyTile + r] = -HUGE_VALF;
  }
  Weigh<kRows, false>(logits, keys, maximum, sum, decay + row);
}

// The same for all rows, of which the last sees `keys` keys.
HWY_INLINE void WeighAll(const lagoon_query_rows &rows, const Tile &tile, size_t keys, float *weights, float *decay) {
  size_t row = 0;
  for (; row + 4 <= rows.rows; row += 4) WeighRows<4>(rows, tile, row, keys, weights, decay);
  for (; row < rows.rows; ++row) WeighRows<1>(rows, tile, row, keys, weights, decay);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

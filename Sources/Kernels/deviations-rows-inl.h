// Sums of squared differences, row after row, where a vector has all lanes and a row fits into registers. Included once per target.
#include "deviations-inl.h"

#if defined(LAGOON_DEVIATIONS_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_DEVIATIONS_ROWS_INL_H
#undef LAGOON_DEVIATIONS_ROWS_INL_H
#else
#define LAGOON_DEVIATIONS_ROWS_INL_H
#endif

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// A row of kDim channels, normalised.
template <size_t kDim>
struct NormalisedRow {
  Vector channels[kDim / kVector];
  Vector mean;  // in every lane

  template <uint8_t kType>
  HWY_INLINE void Set(const Normaliser<kType> &normaliser, const uint8_t *from, const uint8_t *soon,
                      const uint8_t *later) {
    constexpr size_t kBytes = ElementBytes(kType);
    const F32 d;
    const float *low = normaliser.low;
    const float *inverse = normaliser.inverse;
    // Two rows of these types are in registers at a time. Whoever believes that low and inverse have not changed keeps them there instead.
    if constexpr (kType != LAGOON_F32) asm volatile("" : "+r"(low), "+r"(inverse));
    auto sum = hn::Zero(d);
    for (size_t v = 0; v < kDim / kVector; ++v) {
      const size_t at = v * kVector * kBytes;
      if (at % 64 == 0) {
        hwy::Prefetch(soon + at);
        hwy::Prefetch(later + at);
      }
      const auto offset = MinusLow<kType>(LoadFloats<kType>(from + at), hn::Load(d, low + v * kVector));
      channels[v] = hn::Mul(offset, hn::Load(d, inverse + v * kVector));
      sum = hn::Add(sum, channels[v]);
    }
    mean = hn::Set(d, FoldedVector(d, sum) / static_cast<float>(kDim));
  }

  HWY_INLINE float SquaredDifferences() const {
    const F32 d;
    auto sum = hn::Zero(d);
    for (const auto channel : channels) {
      const auto difference = hn::Sub(mean, channel);
      sum = hn::Add(sum, hn::Mul(difference, difference));
    }
    return FoldedVector(d, sum);
  }
};

// As SquaredDifferences::Sum without clamping, of elements of 2 bytes, where arithmetic takes longer than memory: a row is squared while the
// next is normalised, so that nothing waits for a mean.
template <uint8_t kType, size_t kDim>
HWY_NOINLINE float SumRowPairs(const Normaliser<kType> &normaliser, const RowRuns &runs, float *squares) {
  const F32 d;
  auto farthest = hn::Zero(d);
  NormalisedRow<kDim> even, odd;
  for (auto &channel : odd.channels) channel = hn::Zero(d);
  odd.mean = hn::Zero(d);
  float ignored;
  float *due = &ignored;  // of the odd row before
  RowGroups groups(runs, kDim * ElementBytes(kType));
  for (size_t start = 0; start < runs.count; start += kGroup, groups.Advance()) {
    const size_t rows = HWY_MIN(kGroup, runs.count - start);
    for (size_t t = 0; t < rows; t += 2) {
      even.Set(normaliser, groups.from[t], groups.soon[t], groups.later[t]);
      *due = odd.SquaredDifferences();
      odd.Set(normaliser, groups.from[t + 1], groups.soon[t + 1], groups.later[t + 1]);
      squares[start + t] = even.SquaredDifferences();
      due = t + 1 < rows ? squares + start + t + 1 : &ignored;
      farthest = hn::Max(farthest, hn::Max(hn::Abs(even.mean), hn::Abs(odd.mean)));
    }
  }
  *due = odd.SquaredDifferences();
  return hn::GetLane(farthest);
}

// The same of f32, which waits for memory: with one row in registers there is room for what rows are normalised with.
template <size_t kDim>
HWY_NOINLINE float SumRows(const Normaliser<LAGOON_F32> &normaliser, const RowRuns &runs, float *squares) {
  const F32 d;
  auto farthest = hn::Zero(d);
  NormalisedRow<kDim> row;
  RowGroups groups(runs, kDim * sizeof(float));
  for (size_t start = 0; start < runs.count; start += kGroup, groups.Advance()) {
    for (size_t t = 0; t < HWY_MIN(kGroup, runs.count - start); ++t) {
      row.Set(normaliser, groups.from[t], groups.soon[t], groups.later[t]);
      squares[start + t] = row.SquaredDifferences();
      farthest = hn::Max(farthest, hn::Abs(row.mean));
    }
  }
  return hn::GetLane(farthest);
}

template <uint8_t kType, size_t kDim>
HWY_INLINE float SumRowByRow(const Normaliser<kType> &normaliser, const RowRuns &runs, float *squares) {
  if constexpr (kType == LAGOON_F32) {
    return SumRows<kDim>(normaliser, runs, squares);
  } else {
    return SumRowPairs<kType, kDim>(normaliser, runs, squares);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

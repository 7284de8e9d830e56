// Standard deviations of normalised rows, on vectors.
#include <algorithm>
#include <cmath>

#include "scoring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deviations.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "deviations-rows-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// A partition's rows on their way from elements to sums of squared differences: eight rows are normalised and summed, then the eight
// before them are squared.
template <uint8_t kType, bool kClamp>
class SquaredDifferences {
 public:
  explicit SquaredDifferences(const Normaliser<kType> &normaliser)
      : normaliser_(normaliser), stride_((normaliser.headDim + kLanes - 1) / kLanes * kLanes + kLanes) {}

  // Of all rows to `squares`. Returns how far from 0 a row's mean is at most. Nothing waits for a sum's end: while a group's sums are
  // folded, the group before it is squared.
  float Sum(const RowRuns &runs, float *squares) {
    RowGroups groups(runs, normaliser_.headDim * ElementBytes(kType));
    for (size_t start = 0; start < runs.count; start += kGroup, groups.Advance()) {
      Normalise(groups, HWY_MIN(kGroup, runs.count - start));
      if (start > 0) Square(kGroup, squares + start - kGroup);
      current_ ^= 1;
    }
    const size_t last = (runs.count - 1) / kGroup * kGroup;
    Square(runs.count - last, squares + last);
    return *std::max_element(farthest_, farthest_ + kGroup);
  }

 private:
  // Normalises a group and folds its means.
  HWY_INLINE void Normalise(const RowGroups &groups, size_t rows) {
    for (size_t t = 0; t < rows; t += kPair) {
      const Pair pair{groups.from + t, groups.soon + t, groups.later + t, {Row(current_, t), Row(current_, t + 1)}};
      NormalisePair<kType, kClamp>(normaliser_, pair, lanes_.rows + t);
    }
    float *means = means_[current_];
    lanes_.Fold(means);
    for (size_t t = 0; t < kGroup; ++t) {
      means[t] = means[t] / static_cast<float>(normaliser_.headDim);
      farthest_[t] = std::max(farthest_[t], std::abs(means[t]));
    }
  }

  // The sums of the group before the current one.
  HWY_INLINE void Square(size_t rows, float *squares) {
    const size_t group = current_ ^ 1;
    for (size_t t = 0; t < rows; t += kPair) {
      const float *pair[kPair] = {Row(group, t), Row(group, t + 1)};
      SquarePair<kType>(normaliser_.headDim, pair, means_[group] + t, squareLanes_.rows + t);
    }
    float folded[kGroup];
    squareLanes_.Fold(folded);
    std::copy_n(folded, rows, squares);
  }

  float *Row(size_t group, size_t t) { return normalised_ + (group * kGroup + t) * stride_; }

  const Normaliser<kType> &normaliser_;
  size_t stride_;  // not a multiple of 4,096 bytes, where caches have few places for all
  HWY_ALIGN float normalised_[2 * kGroup * (LAGOON_MAX_HEAD_DIM + kLanes)];
  GroupLanes<kType> lanes_, squareLanes_;
  float means_[2][kGroup] = {};
  float farthest_[kGroup] = {};
  size_t current_ = 0;  // of the two groups
};

// Without clamping. Returns how far from 0 a row's mean is at most.
template <uint8_t kType>
float SumSquaredDifferences(const Normaliser<kType> &normaliser, const RowRuns &runs, float *squares) {
  if constexpr (kVector == kLanes) {
    switch (normaliser.headDim) {  // those of most models
      case 64: return SumRowByRow<kType, 64>(normaliser, runs, squares);
      case 128: return SumRowByRow<kType, 128>(normaliser, runs, squares);
      default: break;
    }
  }
  return SquaredDifferences<kType, false>(normaliser).Sum(runs, squares);
}

// Whether normalised values with such means and sums of squares are known to be within the limit. What is not a number is not.
HWY_INLINE bool AreWithin(float farthest, const float *squares, size_t count) {
  const F32 d;
  const auto limit = hn::Set(d, kSafeSquares);
  bool within = farthest <= kSafeMean;
  size_t t = 0;
  for (; t + kVector <= count; t += kVector) within = within && hn::AllTrue(d, hn::Le(hn::LoadU(d, squares + t), limit));
  for (; t < count; ++t) within = within && squares[t] <= kSafeSquares;
  return within;
}

template <uint8_t kType>
void NormalisedStdTyped(const RowRuns &runs, size_t headDim, const float *minimum, const float *maximum,
                        float *deviations) {
  const Normaliser<kType> normaliser(minimum, maximum, headDim);
  const float farthest = SumSquaredDifferences(normaliser, runs, deviations);
  if (HWY_UNLIKELY(!AreWithin(farthest, deviations, runs.count))) {
    SquaredDifferences<kType, true>(normaliser).Sum(runs, deviations);
  }
  const F32 d;
  size_t t = 0;
  if (headDim > 1) {
    const auto fewer = hn::Set(d, static_cast<float>(headDim - 1));
    for (; t + kVector <= runs.count; t += kVector) {
      hn::StoreU(hn::Sqrt(hn::Div(hn::LoadU(d, deviations + t), fewer)), d, deviations + t);
    }
  }
  for (; t < runs.count; ++t) deviations[t] = DeviationFromSquares(deviations[t], headDim);
}

void NormalisedStd(const lagoon_row_run *runs, size_t runCount, const lagoon_row_run *next, size_t nextCount,
                   uint8_t type, size_t headDim, const float *minimum, const float *maximum, float *deviations) {
  const RowRuns all{runs, CountRows(runs, runCount), next, CountRows(next, nextCount)};
  if (all.count == 0) return;
  WithType(type, [&](auto known) HWY_ATTR {
    NormalisedStdTyped<known>(all, headDim, minimum, maximum, deviations);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(NormalisedStd);
}  // namespace lagoon

extern "C" void lagoon_normalised_std(const lagoon_row_run *runs, size_t runCount, const lagoon_row_run *next,
                                      size_t nextCount, uint8_t type, size_t headDim, const float *minimum,
                                      const float *maximum, float *deviations) {
  using namespace lagoon;
  LAGOON_DISPATCH(NormalisedStd)(runs, runCount, next, nextCount, type, headDim, minimum, maximum, deviations);
}
#endif

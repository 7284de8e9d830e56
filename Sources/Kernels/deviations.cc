// Standard deviations of normalised rows, on vectors: eight rows are normalised and summed, then the eight before them are squared.
#include <algorithm>

#include "scoring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deviations.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "deviations-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

size_t CountRows(const lagoon_row_run *runs, size_t runCount) {
  size_t count = 0;
  for (size_t i = 0; i < runCount; ++i) count += runs[i].count;
  return count;
}

using RowGroup = const uint8_t *[kGroup];

// The rows of runs, a group after the other.
class GroupCursor {
 public:
  GroupCursor(const lagoon_row_run *runs, size_t count, size_t rowBytes) : run_(runs), rowBytes_(rowBytes), left_(count) {}

  // The next group; rows that there are none of are those of `others`.
  void Next(RowGroup &to, const RowGroup &others) {
    SkipEnds();
    if (left_ >= kGroup && run_->count - row_ >= kGroup) {
      for (size_t t = 0; t < kGroup; ++t) to[t] = Row();
      return;
    }
    for (size_t t = 0; t < kGroup; ++t) {
      SkipEnds();
      to[t] = left_ > 0 ? Row() : others[t];
    }
  }

 private:
  HWY_INLINE void SkipEnds() {
    while (left_ > 0 && row_ == run_->count) {
      ++run_;
      row_ = 0;
    }
  }

  HWY_INLINE const uint8_t *Row() {
    --left_;
    return static_cast<const uint8_t *>(run_->rows) + row_++ * rowBytes_;
  }

  const lagoon_row_run *run_;
  size_t rowBytes_;
  size_t left_;
  size_t row_ = 0;
};

// Some rows, and those that another call will read.
struct RowRuns {
  const lagoon_row_run *runs;
  size_t count;  // rows
  const lagoon_row_run *next;
  size_t nextCount;  // rows
};

// Whether normalised values of these means and sums of squares are known to be within the limit.
HWY_INLINE bool AreWithin(const float *means, const float *squares) {
  const hn::CappedTag<float, kGroup> d;
  auto within = hn::Eq(hn::Zero(d), hn::Zero(d));
  for (size_t t = 0; t < kGroup; t += hn::Lanes(d)) {
    within = hn::And(within, hn::And(hn::Le(hn::Abs(hn::LoadU(d, means + t)), hn::Set(d, kSafeMean)),
                                     hn::Le(hn::LoadU(d, squares + t), hn::Set(d, kSafeSquares))));
  }
  return hn::AllTrue(d, within);
}

// A partition's rows on their way from elements to sums of squared differences, a group after the other. kDim: headDim, known when this is
// compiled, so that loops as short as these have no ends; or 0.
template <uint8_t kType, bool kClamp, size_t kDim>
class SquaredDifferences {
 public:
  explicit SquaredDifferences(const Normaliser<kType> &normaliser)
      : normaliser_(normaliser), stride_((normaliser.headDim + kLanes - 1) / kLanes * kLanes + kLanes) {}

  // Of all rows to `squares`. Returns whether every normalised value is known to be within the limit; without kClamp the sums count
  // only then. Nothing waits for a sum's end: while a group's sums are folded, the group before it is squared.
  bool Sum(const RowRuns &runs, float *squares) {
    const size_t rowBytes = normaliser_.headDim * ElementBytes(kType);
    const size_t count = runs.count;
    GroupCursor cursor(runs.runs, count, rowBytes);
    GroupCursor next(runs.next, runs.nextCount, rowBytes);
    RowGroup from = {}, soon, later;
    cursor.Next(from, from);
    // A row that has no other goes with the first.
    for (size_t t = count; t < kGroup; ++t) from[t] = from[0];
    bool within = true;
    for (size_t start = 0; start < count; start += kGroup) {
      cursor.Next(soon, from);
      next.Next(later, from);
      Normalise(from, soon, later, HWY_MIN(kGroup, count - start));
      if (start > 0) within = Square(kGroup, squares + start - kGroup) && within;
      std::copy_n(soon, kGroup, from);
      current_ ^= 1;
    }
    const size_t last = (count - 1) / kGroup * kGroup;
    return Square(count - last, squares + last) && within;
  }

 private:
  // Normalises a group and folds its means.
  HWY_INLINE void Normalise(const RowGroup &from, const RowGroup &soon, const RowGroup &later, size_t rows) {
    for (size_t t = 0; t < rows; t += kPair) {
      const Pair pair{from + t, soon + t, later + t, {Row(current_, t), Row(current_, t + 1)}};
      NormalisePair<kType, kClamp, kDim>(normaliser_, pair, lanes_.rows + t);
    }
    float *means = means_[current_];
    lanes_.Fold(means);
    for (size_t t = 0; t < kGroup; ++t) means[t] = means[t] / static_cast<float>(normaliser_.headDim);
  }

  // The sums of the group before the current one; returns whether its values are known to be within the limit.
  HWY_INLINE bool Square(size_t rows, float *squares) {
    const size_t group = current_ ^ 1;
    for (size_t t = 0; t < rows; t += kPair) {
      const float *pair[kPair] = {Row(group, t), Row(group, t + 1)};
      SquarePair<kType, kDim>(normaliser_.headDim, pair, means_[group] + t, squareLanes_.rows + t);
    }
    float folded[kGroup];
    squareLanes_.Fold(folded);
    std::copy_n(folded, rows, squares);
    return AreWithin(means_[group], folded);
  }

  float *Row(size_t group, size_t t) { return normalised_ + (group * kGroup + t) * stride_; }

  const Normaliser<kType> &normaliser_;
  size_t stride_;  // not a multiple of 4,096 bytes, where caches have few places for all
  HWY_ALIGN float normalised_[2 * kGroup * (LAGOON_MAX_HEAD_DIM + kLanes)];
  GroupLanes<kType> lanes_, squareLanes_;
  float means_[2][kGroup] = {};
  size_t current_ = 0;  // of the two groups
};

template <uint8_t kType>
bool SumSquaredDifferences(const Normaliser<kType> &normaliser, const RowRuns &runs, float *squares) {
  switch (normaliser.headDim) {  // those of most models
    case 64: return SquaredDifferences<kType, false, 64>(normaliser).Sum(runs, squares);
    case 128: return SquaredDifferences<kType, false, 128>(normaliser).Sum(runs, squares);
    default: return SquaredDifferences<kType, false, 0>(normaliser).Sum(runs, squares);
  }
}

template <uint8_t kType>
void NormalisedStdTyped(const RowRuns &runs, size_t headDim, const float *minimum, const float *maximum,
                        float *deviations) {
  const Normaliser<kType> normaliser(minimum, maximum, headDim);
  if (HWY_UNLIKELY(!SumSquaredDifferences(normaliser, runs, deviations))) {
    SquaredDifferences<kType, true, 0>(normaliser).Sum(runs, deviations);
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

// Standard deviations of normalised rows, on vectors. Two rows at a time are normalised and summed while the two that came two steps
// before are squared: a sum's end takes as long as some twenty of its terms, and nothing in the next step waits for it.
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

// Rows before it is read that a row is fetched.
constexpr size_t kSoon = 8;

size_t CountRows(const lagoon_row_run *runs, size_t runCount) {
  size_t count = 0;
  for (size_t i = 0; i < runCount; ++i) count += runs[i].count;
  return count;
}

// The rows of runs, one after the other, from `skipped` on.
class RowCursor {
 public:
  RowCursor(const lagoon_row_run *runs, size_t count, size_t rowBytes, size_t skipped = 0)
      : run_(runs), rowBytes_(rowBytes), left_(count) {
    for (; skipped > 0 && left_ > 0; --skipped) Next(nullptr);
  }

  // The next row, or `none` where there is no more.
  const uint8_t *Next(const uint8_t *none) {
    if (left_ == 0) return none;
    --left_;
    while (row_ == run_->count) {
      ++run_;
      row_ = 0;
    }
    return static_cast<const uint8_t *>(run_->rows) + row_++ * rowBytes_;
  }

 private:
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

// Sums of squared differences of all rows to `squares`. Returns whether every normalised value is known to be within the limit; without
// kClamp the sums count only then.
template <uint8_t kType, bool kClamp>
bool SquareDifferences(const Normaliser &n, Rows &rows, const RowRuns &runs, float *squares) {
  const size_t rowBytes = n.headDim * ElementBytes(kType);
  const size_t count = runs.count;
  RowCursor cursor(runs.runs, count, rowBytes);
  RowCursor soon(runs.runs, count, rowBytes, kSoon);
  RowCursor later(runs.next, runs.nextCount, rowBytes);
  Nearer nearer = {};
  Pair pairs[3];  // of this step and the two before
  for (size_t i = 0; i < 3 * kPair; ++i) pairs[i / kPair].rows[i % kPair] = rows[2 + i];
  const size_t steps = (count + kPair - 1) / kPair;
  const F32 d;
  auto within = hn::Eq(hn::Zero(d), hn::Zero(d));
  for (size_t i = 0; i < steps + 2; ++i) {
    Pair &ahead = pairs[i % 3];
    const Pair &behind = pairs[(i + 1) % 3];
    const uint8_t *from[kPair] = {};
    if (i < steps) {
      // A row that has no other goes with itself.
      for (size_t t = 0; t < kPair; ++t) {
        from[t] = cursor.Next(from[0]);
        nearer.soon[t] = soon.Next(from[t]);
        nearer.later[t] = later.Next(from[t]);
      }
    }
    if (i < 2) {
      if (i < steps) Step<kType, true, false, kClamp>(n, from, nearer, ahead, behind);
      continue;
    }
    const PairSums sums = i < steps ? Step<kType, true, true, kClamp>(n, from, nearer, ahead, behind)
                                    : Step<kType, false, true, kClamp>(n, from, nearer, ahead, behind);
    for (size_t t = 0; t < kPair && (i - 2) * kPair + t < count; ++t) {
      const auto isSafe = hn::And(hn::Le(hn::Abs(behind.means[t]), hn::Set(d, kSafeMean)),
                                  hn::Le(sums.row[t], hn::Set(d, kSafeSquares)));
      within = hn::And(within, isSafe);
      squares[(i - 2) * kPair + t] = hn::GetLane(sums.row[t]);
    }
  }
  return hn::AllTrue(d, within);
}

template <uint8_t kType>
void NormalisedStdTyped(const RowRuns &runs, size_t headDim, const float *minimum, const float *maximum,
                        float *deviations) {
  Rows memory(headDim);
  const Normaliser normaliser(minimum, maximum, headDim, kEvenOdd<kType>, memory);
  if (HWY_UNLIKELY((!SquareDifferences<kType, false>(normaliser, memory, runs, deviations)))) {
    SquareDifferences<kType, true>(normaliser, memory, runs, deviations);
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

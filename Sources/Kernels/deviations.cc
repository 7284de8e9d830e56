// Standard deviations of normalised rows, on vectors. Two rows at a time are normalised and summed while the two that came two steps
// before are squared: a sum's end takes as long as some twenty of its terms, and nothing in the next step waits for it.
#include "scoring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "deviations.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "lanes-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

constexpr size_t kPair = 2;

// bf16 rows on vectors of eight: sixteen channels are loaded at once, and the even ones and the odd ones are a vector each, since
// widening neighbours takes longer than all the rest. The fixed tree adds lanes that are 8, 4 and 2 apart before it adds neighbours, so
// even and odd lanes meet at its end only.
template <uint8_t kType>
constexpr bool kEvenOdd = kType == LAGOON_BF16 && kParts == 2 && HWY_ARCH_X86;

// Rows of as many floats as there are channels and some more: rows a multiple of 4,096 bytes apart share the few places that a cache has
// for each address, and loads wait for stores to the others.
class Rows {
 public:
  explicit Rows(size_t headDim) : stride_((headDim + 15) / 16 * 16 + 16) {}
  float *operator[](size_t i) { return memory_ + i * stride_; }

  static constexpr size_t kCount = 2 + 3 * kPair;

 private:
  HWY_ALIGN float memory_[kCount * (LAGOON_MAX_HEAD_DIM + 16)];
  size_t stride_;
};

// What the rows of a partition are normalised with.
struct Normaliser {
  size_t headDim;
  float *low;      // minimum / 4
  float *inverse;  // of the range / 4

  Normaliser(const float *minimum, const float *maximum, size_t headDim, bool evenOdd, Rows &rows)
      : headDim(headDim), low(rows[0]), inverse(rows[1]) {
    const F32 d;
    const auto quarter = hn::Set(d, kQuarter);
    size_t c = 0;
    for (; c + kVector <= headDim; c += kVector) {
      const auto least = hn::Mul(hn::LoadU(d, minimum + c), quarter);
      const auto range = hn::Sub(hn::Mul(hn::LoadU(d, maximum + c), quarter), least);
      const auto inverted = hn::Min(hn::Div(hn::Set(d, 1.0f), range), hn::Set(d, kLargestInverse));
      hn::Store(least, d, low + c);
      hn::Store(hn::IfThenElse(hn::Eq(range, hn::Zero(d)), hn::Zero(d), inverted), d, inverse + c);
    }
    for (; c < headDim; ++c) {
      low[c] = minimum[c] * kQuarter;
      inverse[c] = InverseQuarterRange(minimum[c], maximum[c]);
    }
    for (c = 0; evenOdd && c + kLanes <= headDim; c += kLanes) {
      Part(low + c);
      Part(inverse + c);
    }
  }

 private:
  // The even ones of 16 floats, then the odd ones.
  static void Part(float *floats) {
    float parted[kLanes];
    for (size_t i = 0; i < kLanes; ++i) parted[i % 2 * (kLanes / 2) + i / 2] = floats[i];
    for (size_t i = 0; i < kLanes; ++i) floats[i] = parted[i];
  }
};

// The sums of 16 lanes of two rows, in every lane of one vector each: the fixed tree of the defined summation.
struct PairSums {
  Vector row[kPair];
};

template <uint8_t kType>
HWY_INLINE PairSums Folded(const Vector (&a)[kParts], const Vector (&b)[kParts]) {
  const F32 d;
  PairSums to;
  if constexpr (kEvenOdd<kType>) {
    const Vector *pair[kPair] = {a, b};
    for (size_t t = 0; t < kPair; ++t) {
      auto both = hn::Add(hn::ConcatLowerLower(d, pair[t][1], pair[t][0]),
                          hn::ConcatUpperUpper(d, pair[t][1], pair[t][0]));
      both = hn::Add(both, hn::Shuffle1032(both));
      both = hn::Add(both, hn::Shuffle2301(both));
      to.row[t] = hn::Add(both, hn::ConcatLowerUpper(d, both, both));
    }
  } else if constexpr (kParts == 2) {
    const auto lower = hn::Add(a[0], a[1]);
    const auto upper = hn::Add(b[0], b[1]);
    auto both = hn::Add(hn::ConcatLowerLower(d, upper, lower), hn::ConcatUpperUpper(d, upper, lower));
    both = hn::Add(both, hn::Shuffle1032(both));
    both = hn::Add(both, hn::Shuffle2301(both));
    to.row[0] = hn::ConcatLowerLower(d, both, both);
    to.row[1] = hn::ConcatUpperUpper(d, both, both);
  } else {
    to.row[0] = hn::Set(d, Finished(a, nullptr, 0));
    to.row[1] = hn::Set(d, Finished(b, nullptr, 0));
  }
  return to;
}

// 16 channels from any address as kParts vectors, even and odd ones apart where that is how they are summed.
template <uint8_t kType>
HWY_INLINE void LoadLanes(const uint8_t *from, Vector (&to)[kParts]) {
  if constexpr (kEvenOdd<kType>) {
    const U32 du;
    const auto pairs = hn::LoadU(du, reinterpret_cast<const uint32_t *>(from));
    to[0] = hn::BitCast(F32(), hn::ShiftLeft<16>(pairs));
    to[1] = hn::BitCast(F32(), hn::And(pairs, hn::Set(du, 0xFFFF0000u)));
  } else {
    for (size_t p = 0; p < kParts; ++p) {
      to[p] = LoadFloats<kType>(from + p * kVector * (kType == LAGOON_F32 ? 4 : 2));
    }
  }
}

// Two normalised rows on their way, with their means in every lane.
struct Pair {
  float *rows[kPair];
  Vector means[kPair];
};

// Lanes that are even ones, then odd ones, in their order.
HWY_INLINE void InOrder(float *lanes) {
  float parted[kLanes];
  for (size_t i = 0; i < kLanes; ++i) parted[i] = lanes[i];
  for (size_t i = 0; i < kLanes; ++i) lanes[i] = parted[i % 2 * (kLanes / 2) + i / 2];
}

// Normalises the rows at `from` into `ahead`, with their means, and gives the sums of the squares of what is in `behind`; either
// half may be left out. With kClamp normalised values are kept within the limit.
template <uint8_t kType, bool kNormalise, bool kSquare, bool kClamp>
HWY_INLINE PairSums Step(const Normaliser &n, const uint8_t *const *from, Pair &ahead, const Pair &behind) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  const size_t whole = n.headDim / kLanes * kLanes;
  const size_t rest = n.headDim - whole;
  const auto quarter = hn::Set(d, kQuarter);
  const auto zero = hn::Zero(d);
  // Nothing of this overlaps, and the compiler cannot know it.
  const float *HWY_RESTRICT lows = n.low;
  const float *HWY_RESTRICT inverses = n.inverse;
  const uint8_t *HWY_RESTRICT source[kPair] = {from[0], from[1]};
  float *HWY_RESTRICT target[kPair] = {ahead.rows[0], ahead.rows[1]};
  float *HWY_RESTRICT old[kPair] = {behind.rows[0], behind.rows[1]};
  const Vector means[kPair] = {kSquare ? behind.means[0] : zero, kSquare ? behind.means[1] : zero};
  Vector sums[kPair][kParts], squares[kPair][kParts];
  for (size_t t = 0; t < kPair; ++t) {
    for (size_t p = 0; p < kParts; ++p) sums[t][p] = squares[t][p] = zero;
  }
  for (size_t c = 0; c < whole; c += kLanes) {
    if constexpr (kNormalise) {
      for (size_t t = 0; t < kPair; ++t) {
        Vector lanes[kParts];
        LoadLanes<kType>(source[t] + c * kBytes, lanes);
        for (size_t p = 0; p < kParts; ++p) {
          const size_t at = c + p * kVector;
          const auto x = hn::Mul(lanes[p], quarter);
          auto scaled = hn::Mul(hn::Sub(x, hn::Load(d, lows + at)), hn::Load(d, inverses + at));
          if constexpr (kClamp) {
            scaled = hn::Min(hn::Max(scaled, hn::Set(d, -kNormalisedLimit)), hn::Set(d, kNormalisedLimit));
          }
          hn::Store(scaled, d, target[t] + at);
          sums[t][p] = hn::Add(sums[t][p], scaled);
        }
      }
    }
    if constexpr (kSquare) {
      for (size_t p = 0; p < kParts; ++p) {
        for (size_t t = 0; t < kPair; ++t) {
          // The other way round, so that the row can stay in memory; the square is the same.
          const auto difference = hn::Sub(means[t], hn::Load(d, old[t] + c + p * kVector));
          squares[t][p] = hn::Add(squares[t][p], hn::Mul(difference, difference));
        }
      }
    }
  }
  const auto count = hn::Set(d, static_cast<float>(n.headDim));
  PairSums result;
  if (rest == 0) {
    if constexpr (kNormalise) {
      const PairSums folded = Folded<kType>(sums[0], sums[1]);
      for (size_t t = 0; t < kPair; ++t) ahead.means[t] = hn::Div(folded.row[t], count);
    }
    result = Folded<kType>(squares[0], squares[1]);
    return result;
  }
  // Odd channels go to their lanes one by one. The lanes are copied out first, since a sum that is looked up by a number has to be in
  // memory all the time.
  HWY_ALIGN float sumLanes[kPair][kLanes], squareLanes[kPair][kLanes];
  for (size_t t = 0; t < kPair; ++t) {
    for (size_t p = 0; p < kParts; ++p) {
      hn::Store(sums[t][p], d, sumLanes[t] + p * kVector);
      hn::Store(squares[t][p], d, squareLanes[t] + p * kVector);
    }
    if constexpr (kEvenOdd<kType>) {
      InOrder(sumLanes[t]);
      InOrder(squareLanes[t]);
    }
  }
  for (size_t t = 0; t < kPair; ++t) {
    if constexpr (kNormalise) {
      for (size_t i = 0; i < rest; ++i) {
        const size_t c = whole + i;
        const float scaled = (LoadElement(source[t], kType, c) * kQuarter - lows[c]) * inverses[c];
        target[t][c] = kClamp ? ClampedToLimit(scaled) : scaled;
        sumLanes[t][i] = sumLanes[t][i] + target[t][c];
      }
      ahead.means[t] = hn::Div(hn::Set(d, ReduceLanes(sumLanes[t])), count);
    }
    if constexpr (kSquare) {
      const float mean = hn::GetLane(behind.means[t]);
      for (size_t i = 0; i < rest; ++i) {
        const float difference = old[t][whole + i] - mean;
        squareLanes[t][i] = squareLanes[t][i] + difference * difference;
      }
    }
  }
  result.row[0] = hn::Set(d, ReduceLanes(squareLanes[0]));
  result.row[1] = hn::Set(d, ReduceLanes(squareLanes[1]));
  return result;
}

// The rows of runs, one after the other.
class RowCursor {
 public:
  RowCursor(const lagoon_row_run *runs, size_t rowBytes) : run_(runs), rowBytes_(rowBytes) {}

  const uint8_t *Next() {
    while (row_ == run_->count) {
      ++run_;
      row_ = 0;
    }
    return static_cast<const uint8_t *>(run_->rows) + row_++ * rowBytes_;
  }

 private:
  const lagoon_row_run *run_;
  size_t rowBytes_;
  size_t row_ = 0;
};

// Sums of squared differences of all rows to `squares`. Returns whether every normalised value is known to be within the limit; without
// kClamp the sums count only then.
template <uint8_t kType, bool kClamp>
bool SquareDifferences(const Normaliser &n, Rows &rows, const lagoon_row_run *runs, size_t count, float *squares) {
  RowCursor cursor(runs, n.headDim * (kType == LAGOON_F32 ? 4 : 2));
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
      for (size_t t = 0; t < kPair; ++t) from[t] = i * kPair + t < count ? cursor.Next() : from[0];
    }
    if (i < 2) {
      if (i < steps) Step<kType, true, false, kClamp>(n, from, ahead, behind);
      continue;
    }
    const PairSums sums = i < steps ? Step<kType, true, true, kClamp>(n, from, ahead, behind)
                                    : Step<kType, false, true, kClamp>(n, from, ahead, behind);
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
void NormalisedStdTyped(const lagoon_row_run *runs, size_t count, size_t headDim, const float *minimum,
                        const float *maximum, float *deviations) {
  Rows memory(headDim);
  const Normaliser normaliser(minimum, maximum, headDim, kEvenOdd<kType>, memory);
  if (HWY_UNLIKELY((!SquareDifferences<kType, false>(normaliser, memory, runs, count, deviations)))) {
    SquareDifferences<kType, true>(normaliser, memory, runs, count, deviations);
  }
  const F32 d;
  size_t t = 0;
  if (headDim > 1) {
    const auto fewer = hn::Set(d, static_cast<float>(headDim - 1));
    for (; t + kVector <= count; t += kVector) {
      hn::StoreU(hn::Sqrt(hn::Div(hn::LoadU(d, deviations + t), fewer)), d, deviations + t);
    }
  }
  for (; t < count; ++t) deviations[t] = DeviationFromSquares(deviations[t], headDim);
}

void NormalisedStd(const lagoon_row_run *runs, size_t count, uint8_t type, size_t headDim, const float *minimum,
                   const float *maximum, float *deviations) {
  WithType(type, [=](auto known) HWY_ATTR {
    NormalisedStdTyped<known>(runs, count, headDim, minimum, maximum, deviations);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(NormalisedStd);
}  // namespace lagoon

extern "C" void lagoon_normalised_std(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim,
                                      const float *minimum, const float *maximum, float *deviations) {
  using namespace lagoon;
  size_t count = 0;
  for (size_t i = 0; i < runCount; ++i) count += runs[i].count;
  if (count == 0) return;
  LAGOON_DISPATCH(NormalisedStd)(runs, count, type, headDim, minimum, maximum, deviations);
}
#endif

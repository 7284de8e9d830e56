// Two rows of a partition on their way to their deviations, for the target being compiled: normalised and summed, then squared. Included
// once per target.
#include "hwy/cache_control.h"
#include "lanes-inl.h"
#include "scoring.h"

#if defined(LAGOON_DEVIATIONS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_DEVIATIONS_INL_H
#undef LAGOON_DEVIATIONS_INL_H
#else
#define LAGOON_DEVIATIONS_INL_H
#endif

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

constexpr size_t kPair = 2;

// bf16 rows on vectors of eight: of sixteen channels the even ones and the odd ones are a vector each, since widening neighbours
// takes longer than all the rest. The fixed tree adds lanes that are 8, 4 and 2 apart before it adds neighbours, so
// even and odd lanes meet at its end only.
template <uint8_t kType>
constexpr bool kEvenOdd = kType == LAGOON_BF16 && kParts == 2 && HWY_ARCH_X86;

// Rows of as many floats as there are channels, and some more: not a multiple of 4,096 bytes apart, where caches have few places for all.
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
    LoadEvenOdd(from, to[0], to[1]);
  } else {
    for (size_t p = 0; p < kParts; ++p) {
      to[p] = LoadFloats<kType>(from + p * kVector * ElementBytes(kType));
    }
  }
}

// What comes nearer during a step, line by line and evenly: two rows of this call that are due soon, and two of what another call will
// read. Rows that there are none of are those being read, whose lines are near already.
struct Nearer {
  const uint8_t *soon[kPair];
  const uint8_t *later[kPair];

  // The lines that kLanes channels of the rows begin; of 2-byte elements, whose lines hold two times as many, those of one row.
  template <uint8_t kType>
  HWY_INLINE void Fetch(size_t c) const {
    if constexpr (kType == LAGOON_F32) {
      for (size_t t = 0; t < kPair; ++t) {
        hwy::Prefetch(soon[t] + c * 4);
        hwy::Prefetch(later[t] + c * 4);
      }
    } else {
      const bool isOdd = c / kLanes % 2 != 0;
      hwy::Prefetch((isOdd ? soon[1] : soon[0]) + c * 2);
      hwy::Prefetch((isOdd ? later[1] : later[0]) + c * 2);
    }
  }
};

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
HWY_INLINE PairSums Step(const Normaliser &n, const uint8_t *const *from, const Nearer &nearer, Pair &ahead,
                         const Pair &behind) {
  constexpr size_t kBytes = ElementBytes(kType);
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
      nearer.Fetch<kType>(c);
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

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

// Rows of a partition on their way to their deviations, for the target being compiled: normalised and summed, then squared. Included
// once per target.
#include "hwy/cache_control.h"
#include "lanes-inl.h"
#include "row-groups.h"
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

// Rows that are gone through at a time.
constexpr size_t kPair = 2;

// bf16 rows on vectors of eight: of sixteen channels the even ones and the odd ones are a vector each, since widening neighbours
// takes longer than all the rest. The fixed tree adds lanes that are 8, 4 and 2 apart before it adds neighbours, so
// even and odd lanes meet at its end only.
template <uint8_t kType>
constexpr bool kEvenOdd = kType == LAGOON_BF16 && kParts == 2 && HWY_ARCH_X86;

// Where channel c of sixteen is.
template <uint8_t kType>
constexpr size_t LaneOf(size_t c) {
  return kEvenOdd<kType> ? c % 2 * (kLanes / 2) + c / 2 : c;
}

// What the rows of a partition are normalised with.
template <uint8_t kType>
struct Normaliser {
  size_t headDim;
  HWY_ALIGN float low[LAGOON_MAX_HEAD_DIM];      // minimum / 4
  HWY_ALIGN float inverse[LAGOON_MAX_HEAD_DIM];  // of the range / 4

  Normaliser(const float *minimum, const float *maximum, size_t headDim) : headDim(headDim) {
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
    if constexpr (kEvenOdd<kType>) {
      const size_t whole = headDim / kLanes * kLanes;
      for (float *floats : {low, inverse}) ArrangeEvenOdd(floats, whole, floats);
    }
  }
};

// The sums over the lanes of eight vectors of eight, by the fixed tree.
HWY_INLINE Vector SumsOfEight(const Vector (&rows)[8]) {
  const F32 d;
  Vector halves[4];
  for (size_t i = 0; i < 4; ++i) {
    halves[i] = hn::Add(hn::ConcatLowerLower(d, rows[i + 4], rows[i]), hn::ConcatUpperUpper(d, rows[i + 4], rows[i]));
  }
  return BlockSums(halves[0], halves[1], halves[2], halves[3]);
}

// Sums that are under way, of a group's rows: 16 lanes each, in the order of LaneOf.
template <uint8_t kType>
struct GroupLanes {
  HWY_ALIGN float rows[kGroup][kLanes] = {};

  // The rows' sums, by the fixed tree.
  HWY_INLINE void Fold(float *sums) const {
    const F32 d;
    if constexpr (kVector == 8) {
      Vector lower[kGroup], upper[kGroup];
      for (size_t t = 0; t < kGroup; ++t) {
        lower[t] = hn::Load(d, rows[t]);
        upper[t] = hn::Load(d, rows[t] + kVector);
        if constexpr (!kEvenOdd<kType>) lower[t] = hn::Add(lower[t], upper[t]);
      }
      auto folded = SumsOfEight(lower);
      if constexpr (kEvenOdd<kType>) folded = hn::Add(folded, SumsOfEight(upper));
      hn::StoreU(folded, d, sums);
    } else {
      for (size_t t = 0; t < kGroup; ++t) {
        Vector parts[kParts];
        for (size_t p = 0; p < kParts; ++p) parts[p] = hn::Load(d, rows[t] + p * kVector);
        sums[t] = Finished(parts, nullptr, 0);
      }
    }
  }
};

// 16 channels from any address as kParts vectors, in the order of LaneOf.
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

// Two rows on their way to `to`, and two each that come nearer meanwhile, line by line and evenly: of this call's, that are due soon, and of
// what another call will read. Rows that there are none of are those being read, whose lines are near already.
struct Pair {
  const uint8_t *const *from;
  const uint8_t *const *soon;
  const uint8_t *const *later;
  float *to[kPair];
};

// x / 4 - low. A quarter of a 2-byte element is a float, so there it can be one instruction with the same bits.
template <uint8_t kType>
HWY_INLINE Vector MinusLow(Vector x, Vector low) {
  const auto quarter = hn::Set(F32(), kQuarter);
  return kType == LAGOON_F32 ? hn::Sub(hn::Mul(x, quarter), low) : hn::MulSub(x, quarter, low);
}

// Normalises two rows and gives the lanes of their sums. With kClamp normalised values are kept within the limit.
template <uint8_t kType, bool kClamp>
HWY_INLINE void NormalisePair(const Normaliser<kType> &n, const Pair &pair, float (*lanes)[kLanes]) {
  constexpr size_t kBytes = ElementBytes(kType);
  constexpr size_t kLine = 64 / kBytes;  // channels
  const F32 d;
  const size_t headDim = n.headDim;
  // Nothing of this overlaps, and the compiler cannot know it.
  const float *HWY_RESTRICT lows = n.low;
  const float *HWY_RESTRICT inverses = n.inverse;
  const uint8_t *HWY_RESTRICT from[kPair] = {pair.from[0], pair.from[1]};
  const uint8_t *const nearer[2 * kPair] = {pair.soon[0], pair.soon[1], pair.later[0], pair.later[1]};
  float *HWY_RESTRICT to[kPair] = {pair.to[0], pair.to[1]};
  Vector sums[kPair][kParts];
  for (size_t t = 0; t < kPair; ++t) {
    for (size_t p = 0; p < kParts; ++p) sums[t][p] = hn::Zero(d);
  }
  const auto add = [&](size_t c) HWY_ATTR {
    Vector low[kParts], inverse[kParts];
    for (size_t p = 0; p < kParts; ++p) {
      low[p] = hn::Load(d, lows + c + p * kVector);
      inverse[p] = hn::Load(d, inverses + c + p * kVector);
    }
    for (size_t t = 0; t < kPair; ++t) {
      Vector channels[kParts];
      LoadLanes<kType>(from[t] + c * kBytes, channels);
      for (size_t p = 0; p < kParts; ++p) {
        const size_t at = c + p * kVector;
        const auto offset = MinusLow<kType>(channels[p], low[p]);
        auto scaled = hn::Mul(offset, inverse[p]);
        if constexpr (kClamp) {
          scaled = hn::Min(hn::Max(scaled, hn::Set(d, -kNormalisedLimit)), hn::Set(d, kNormalisedLimit));
        }
        hn::Store(scaled, d, to[t] + at);
        sums[t][p] = hn::Add(sums[t][p], scaled);
      }
    }
  };
  size_t c = 0;
  for (; c + kLine <= headDim; c += kLine) {
    for (const uint8_t *row : nearer) hwy::Prefetch(row + c * kBytes);
    for (size_t within = 0; within < kLine; within += kLanes) add(c + within);
  }
  for (; c + kLanes <= headDim; c += kLanes) add(c);
  for (size_t t = 0; t < kPair; ++t) {
    for (size_t p = 0; p < kParts; ++p) hn::Store(sums[t][p], d, lanes[t] + p * kVector);
    for (size_t odd = c; odd < headDim; ++odd) {
      const float scaled = (LoadElement(from[t], kType, odd) * kQuarter - lows[odd]) * inverses[odd];
      to[t][odd] = kClamp ? ClampedToLimit(scaled) : scaled;
      float &lane = lanes[t][LaneOf<kType>(odd - c)];
      lane = lane + to[t][odd];
    }
  }
}

// The lanes of the sums of squared differences of two rows from their means.
template <uint8_t kType>
HWY_INLINE void SquarePair(size_t headDim, const float *const *rows, const float *means, float (*lanes)[kLanes]) {
  const F32 d;
  Vector squares[kPair][kParts];
  for (size_t t = 0; t < kPair; ++t) {
    for (size_t p = 0; p < kParts; ++p) squares[t][p] = hn::Zero(d);
  }
  const Vector mean[kPair] = {hn::Set(d, means[0]), hn::Set(d, means[1])};
  size_t c = 0;
  for (; c + kLanes <= headDim; c += kLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      for (size_t t = 0; t < kPair; ++t) {
        // The other way round, so that the row can stay in memory; the square is the same.
        const auto difference = hn::Sub(mean[t], hn::Load(d, rows[t] + c + p * kVector));
        squares[t][p] = hn::Add(squares[t][p], hn::Mul(difference, difference));
      }
    }
  }
  for (size_t t = 0; t < kPair; ++t) {
    for (size_t p = 0; p < kParts; ++p) hn::Store(squares[t][p], d, lanes[t] + p * kVector);
    for (size_t odd = c; odd < headDim; ++odd) {
      const float difference = rows[t][odd] - means[t];
      float &lane = lanes[t][LaneOf<kType>(odd - c)];
      lane = lane + difference * difference;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

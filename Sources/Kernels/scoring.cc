// Scoring on vectors. The 16 lanes of the defined summation are one, two or four vectors, so the width of a
// vector does not show in the result; odd channels at the end of a row are added to their lanes one by one.
#include "scoring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "scoring.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "simd-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

constexpr size_t kParts = kLanes / kVector;  // vectors that hold the 16 lanes
constexpr size_t kRowsAbreast = kParts == 4 ? 2 : 4;  // rows whose sums are in registers together

// The fixed tree over lanes that are still in registers: halves of the lanes are halves of the vectors, as long as there are
// several, then of the one vector.
template <class D>
HWY_INLINE float FoldedVector(D d, hn::Vec<D> lanes) {
  if constexpr (hn::MaxLanes(d) == 1) {
    return hn::GetLane(lanes);
  } else {
    const hn::Half<D> half;
    return FoldedVector(half, hn::Add(hn::LowerHalf(half, lanes), hn::UpperHalf(half, lanes)));
  }
}

HWY_INLINE float Folded(const Vector *parts) {
  if constexpr (kParts == 4) return FoldedVector(F32(), hn::Add(hn::Add(parts[0], parts[2]), hn::Add(parts[1], parts[3])));
  if constexpr (kParts == 2) return FoldedVector(F32(), hn::Add(parts[0], parts[1]));
  if constexpr (kParts == 1) return FoldedVector(F32(), parts[0]);
}

// Running sums of 16 lanes.
struct Lanes16 {
  Vector parts[kParts];

  HWY_INLINE Lanes16() {
    for (size_t p = 0; p < kParts; ++p) parts[p] = hn::Zero(F32());
  }
  HWY_INLINE void Add(size_t part, Vector terms) { parts[part] = hn::Add(parts[part], terms); }

  // The sum, after `count` further terms (fewer than 16) for the lanes from the first on.
  HWY_INLINE float Finish(const float *terms, size_t count) const {
    if (count == 0) return Folded(parts);
    HWY_ALIGN float lanes[kLanes];
    for (size_t p = 0; p < kParts; ++p) hn::Store(parts[p], F32(), lanes + p * kVector);
    for (size_t i = 0; i < count; ++i) lanes[i] = lanes[i] + terms[i];
    return ReduceLanes(lanes);
  }
};

// The lesser and the greater as comparisons define them: with equal ones, +0 and -0 included, the second. NEON's own
// would choose between +0 and -0.
HWY_INLINE Vector Lesser(Vector a, Vector b) {
  return HWY_ARCH_X86 ? hn::Min(a, b) : hn::IfThenElse(hn::Lt(a, b), a, b);
}
HWY_INLINE Vector Greater(Vector a, Vector b) {
  return HWY_ARCH_X86 ? hn::Max(a, b) : hn::IfThenElse(hn::Gt(a, b), a, b);
}

// kVectors vectors of channels from `c` on.
template <uint8_t kType, size_t kVectors>
HWY_INLINE void FoldChannels(const uint8_t *rows, size_t count, size_t headDim, size_t c, float *minimum,
                             float *maximum) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  Vector least[kVectors], most[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    least[v] = hn::LoadU(d, minimum + c + v * kVector);
    most[v] = hn::LoadU(d, maximum + c + v * kVector);
  }
  const uint8_t *from = rows + c * kBytes;
  for (size_t t = 0; t < count; ++t, from += headDim * kBytes) {
    for (size_t v = 0; v < kVectors; ++v) {
      const auto x = LoadFloats<kType>(from + v * kVector * kBytes);
      least[v] = Lesser(x, least[v]);
      most[v] = Greater(x, most[v]);
    }
  }
  for (size_t v = 0; v < kVectors; ++v) {
    hn::StoreU(least[v], d, minimum + c + v * kVector);
    hn::StoreU(most[v], d, maximum + c + v * kVector);
  }
}

template <uint8_t kType>
void ChannelRangeTyped(const uint8_t *rows, size_t count, size_t headDim, float *minimum, float *maximum) {
  size_t c = 0;
  for (; c + 4 * kVector <= headDim; c += 4 * kVector) {
    FoldChannels<kType, 4>(rows, count, headDim, c, minimum, maximum);
  }
  for (; c + kVector <= headDim; c += kVector) {
    FoldChannels<kType, 1>(rows, count, headDim, c, minimum, maximum);
  }
  for (; c < headDim; ++c) {
    for (size_t t = 0; t < count; ++t) {
      const float x = LoadElement(rows, kType, t * headDim + c);
      if (x < minimum[c]) minimum[c] = x;
      if (x > maximum[c]) maximum[c] = x;
    }
  }
}

// What the rows of a partition are normalised with, and room for some of them.
struct Normaliser {
  size_t headDim;
  HWY_ALIGN float low[LAGOON_MAX_HEAD_DIM];      // minimum / 4
  HWY_ALIGN float inverse[LAGOON_MAX_HEAD_DIM];  // of the range / 4
  HWY_ALIGN float rows[kRowsAbreast][LAGOON_MAX_HEAD_DIM];

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
  }
};

// The deviations of kRows rows. A row alone would leave the CPU waiting for the ends of its sums. Returns whether all
// normalised values are known to be within the limit; without kClamp the deviations count only then.
template <uint8_t kType, size_t kRows, bool kClamp>
HWY_INLINE bool DeviationsOfRows(Normaliser &n, const uint8_t *from, float *deviations) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  const size_t whole = n.headDim / kLanes * kLanes;
  const size_t rest = n.headDim - whole;
  const auto quarter = hn::Set(d, kQuarter);
  Lanes16 sums[kRows];
  for (size_t c = 0; c < whole; c += kLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      const size_t at = c + p * kVector;
      const auto low = hn::Load(d, n.low + at);
      const auto inverse = hn::Load(d, n.inverse + at);
      for (size_t t = 0; t < kRows; ++t) {
        const auto x = hn::Mul(LoadFloats<kType>(from + (t * n.headDim + at) * kBytes), quarter);
        auto scaled = hn::Mul(hn::Sub(x, low), inverse);
        if constexpr (kClamp) {
          scaled = hn::Min(hn::Max(scaled, hn::Set(d, -kNormalisedLimit)), hn::Set(d, kNormalisedLimit));
        }
        hn::Store(scaled, d, n.rows[t] + at);
        sums[t].Add(p, scaled);
      }
    }
  }
  Vector means[kRows];
  for (size_t t = 0; t < kRows; ++t) {
    float *row = n.rows[t];
    for (size_t c = whole; c < n.headDim; ++c) {
      const float scaled = (LoadElement(from, kType, t * n.headDim + c) * kQuarter - n.low[c]) * n.inverse[c];
      row[c] = kClamp ? ClampedToLimit(scaled) : scaled;
    }
    means[t] = hn::Set(d, sums[t].Finish(row + whole, rest) / static_cast<float>(n.headDim));
  }
  Lanes16 squares[kRows];
  for (size_t c = 0; c < whole; c += kLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      for (size_t t = 0; t < kRows; ++t) {
        // The other way round, so that the row can stay in memory; the square is the same.
        const auto difference = hn::Sub(means[t], hn::Load(d, n.rows[t] + c + p * kVector));
        squares[t].Add(p, hn::Mul(difference, difference));
      }
    }
  }
  bool isWithin = true;
  for (size_t t = 0; t < kRows; ++t) {
    float *row = n.rows[t];
    const float mean = hn::GetLane(means[t]);
    for (size_t c = whole; c < n.headDim; ++c) {
      const float difference = row[c] - mean;
      row[c] = difference * difference;
    }
    const float sum = squares[t].Finish(row + whole, rest);
    isWithin &= mean >= -kSafeMean && mean <= kSafeMean && sum <= kSafeSquares;
    deviations[t] = DeviationFromSquares(sum, n.headDim);
  }
  return isWithin;
}

template <uint8_t kType, size_t kRows>
HWY_INLINE void DeviationsWithin(Normaliser &n, const uint8_t *from, float *deviations) {
  if (HWY_LIKELY((DeviationsOfRows<kType, kRows, false>(n, from, deviations)))) return;
  for (size_t t = 0; t < kRows; ++t) {
    DeviationsOfRows<kType, 1, true>(n, from + t * n.headDim * (kType == LAGOON_F32 ? 4 : 2), deviations + t);
  }
}

template <uint8_t kType>
void NormalisedStdTyped(const uint8_t *rows, size_t count, size_t headDim, const float *minimum,
                        const float *maximum, float *deviations) {
  const size_t rowBytes = headDim * (kType == LAGOON_F32 ? 4 : 2);
  Normaliser normaliser(minimum, maximum, headDim);
  size_t t = 0;
  for (; t + kRowsAbreast <= count; t += kRowsAbreast) {
    DeviationsWithin<kType, kRowsAbreast>(normaliser, rows + t * rowBytes, deviations + t);
  }
  for (; t < count; ++t) DeviationsWithin<kType, 1>(normaliser, rows + t * rowBytes, deviations + t);
}

template <uint8_t kType>
void SquareSumsTyped(const uint8_t *rows, size_t count, size_t headDim, float *sums) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const size_t whole = headDim / kLanes * kLanes;
  for (size_t t = 0; t < count; ++t, rows += headDim * kBytes) {
    Lanes16 sum;
    for (size_t c = 0; c < whole; c += kLanes) {
      for (size_t p = 0; p < kParts; ++p) {
        const auto x = LoadFloats<kType>(rows + (c + p * kVector) * kBytes);
        sum.Add(p, hn::Mul(x, x));
      }
    }
    float rest[kLanes];
    for (size_t c = whole; c < headDim; ++c) {
      const float x = LoadElement(rows, kType, c);
      rest[c - whole] = x * x;
    }
    sums[t] = sum.Finish(rest, headDim - whole);
  }
}

// As Exponential, operation by operation.
HWY_INLINE Vector Exponentials(Vector x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto round = hn::Set(d, kExpRound);
  const auto seen = hn::Ge(x, hn::Set(d, kExpLowest));
  x = hn::IfThenElseZero(seen, x);
  const auto n = hn::Sub(hn::Add(hn::Mul(x, hn::Set(d, kExpInverseLog2)), round), round);
  const auto r = hn::Sub(hn::Sub(x, hn::Mul(n, hn::Set(d, kExpLog2High))),
                         hn::Mul(n, hn::Set(d, kExpLog2Low)));
  auto p = hn::Set(d, kExp6);
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp5));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp4));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp3));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp2));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, 1.0f));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenElseZero(seen, hn::Mul(p, hn::BitCast(d, exponent)));
}

void AddSoftmax(float *x, size_t count, float weight, float *scores) {
  if (count == 0) return;
  const F32 d;
  float largest = x[0];
  for (size_t i = 1; i < count; ++i) largest = x[i] > largest ? x[i] : largest;

  const size_t whole = count / kLanes * kLanes;
  const auto largests = hn::Set(d, largest);
  Lanes16 lanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      const auto e = Exponentials(hn::Sub(hn::LoadU(d, x + i + p * kVector), largests));
      hn::StoreU(e, d, x + i + p * kVector);
      lanes.Add(p, e);
    }
  }
  for (size_t i = whole; i < count; ++i) x[i] = Exponential(x[i] - largest);
  const float sum = lanes.Finish(x + whole, count - whole);

  const auto sums = hn::Set(d, sum);
  const auto weights = hn::Set(d, weight);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    const auto share = hn::Div(hn::LoadU(d, x + i), sums);
    hn::StoreU(hn::Add(hn::LoadU(d, scores + i), hn::Mul(weights, share)), d, scores + i);
  }
  for (; i < count; ++i) scores[i] = scores[i] + weight * (x[i] / sum);
}

void ChannelRange(const uint8_t *rows, uint8_t type, size_t count, size_t headDim, float *minimum,
                  float *maximum) {
  WithType(type, [=](auto known) HWY_ATTR {
    ChannelRangeTyped<known>(rows, count, headDim, minimum, maximum);
  });
}

void NormalisedStd(const uint8_t *rows, uint8_t type, size_t count, size_t headDim, const float *minimum,
                   const float *maximum, float *deviations) {
  WithType(type, [=](auto known) HWY_ATTR {
    NormalisedStdTyped<known>(rows, count, headDim, minimum, maximum, deviations);
  });
}

void SquareSums(const uint8_t *rows, uint8_t type, size_t count, size_t headDim, float *sums) {
  WithType(type, [=](auto known) HWY_ATTR { SquareSumsTyped<known>(rows, count, headDim, sums); });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(ChannelRange);
HWY_EXPORT(NormalisedStd);
HWY_EXPORT(AddSoftmax);
HWY_EXPORT(SquareSums);
}  // namespace lagoon

extern "C" void lagoon_channel_range(const void *rows, uint8_t type, size_t count, size_t headDim,
                                     float *minimum, float *maximum) {
  using namespace lagoon;
  LAGOON_DISPATCH(ChannelRange)(static_cast<const uint8_t *>(rows), type, count, headDim, minimum, maximum);
}

extern "C" void lagoon_normalised_std(const void *rows, uint8_t type, size_t count, size_t headDim,
                                      const float *minimum, const float *maximum, float *deviations) {
  using namespace lagoon;
  LAGOON_DISPATCH(NormalisedStd)(static_cast<const uint8_t *>(rows), type, count, headDim, minimum, maximum,
                                 deviations);
}

extern "C" void lagoon_add_softmax(float *x, size_t count, float weight, float *scores) {
  using namespace lagoon;
  LAGOON_DISPATCH(AddSoftmax)(x, count, weight, scores);
}

extern "C" void lagoon_square_sums(const void *rows, uint8_t type, size_t count, size_t headDim,
                                   float *sums) {
  using namespace lagoon;
  LAGOON_DISPATCH(SquareSums)(static_cast<const uint8_t *>(rows), type, count, headDim, sums);
}
#endif

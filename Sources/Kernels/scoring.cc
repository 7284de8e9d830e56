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

// Running sums of 16 lanes.
struct Lanes16 {
  Vector parts[kParts];

  HWY_INLINE Lanes16() {
    for (size_t p = 0; p < kParts; ++p) parts[p] = hn::Zero(F32());
  }
  HWY_INLINE void Add(size_t part, Vector terms) { parts[part] = hn::Add(parts[part], terms); }

  // The sum, after `count` further terms (fewer than 16) for the lanes from the first on.
  HWY_INLINE float Finish(const float *terms, size_t count) const {
    HWY_ALIGN float lanes[kLanes];
    for (size_t p = 0; p < kParts; ++p) hn::Store(parts[p], F32(), lanes + p * kVector);
    for (size_t i = 0; i < count; ++i) lanes[i] = lanes[i] + terms[i];
    return ReduceLanes(lanes);
  }
};

template <uint8_t kType>
void ChannelRangeTyped(const uint8_t *rows, size_t count, size_t headDim, float *minimum, float *maximum) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  size_t c = 0;
  for (; c + kVector <= headDim; c += kVector) {
    auto least = hn::LoadU(d, minimum + c);
    auto most = hn::LoadU(d, maximum + c);
    const uint8_t *from = rows + c * kBytes;
    for (size_t t = 0; t < count; ++t, from += headDim * kBytes) {
      const auto x = LoadFloats<kType>(from);
      // Comparisons, not Min and Max, whose choice between +0 and -0 differs among CPUs.
      least = hn::IfThenElse(hn::Lt(x, least), x, least);
      most = hn::IfThenElse(hn::Gt(x, most), x, most);
    }
    hn::StoreU(least, d, minimum + c);
    hn::StoreU(most, d, maximum + c);
  }
  for (; c < headDim; ++c) {
    for (size_t t = 0; t < count; ++t) {
      const float x = LoadElement(rows, kType, t * headDim + c);
      if (x < minimum[c]) minimum[c] = x;
      if (x > maximum[c]) maximum[c] = x;
    }
  }
}

template <uint8_t kType>
void NormalisedStdTyped(const uint8_t *rows, size_t count, size_t headDim, const float *minimum,
                        const float *maximum, float *deviations) {
  constexpr size_t kBytes = kType == LAGOON_F32 ? 4 : 2;
  const F32 d;
  HWY_ALIGN float low[LAGOON_MAX_HEAD_DIM];      // minimum / 4
  HWY_ALIGN float inverse[LAGOON_MAX_HEAD_DIM];  // of the range / 4
  HWY_ALIGN float row[LAGOON_MAX_HEAD_DIM];
  for (size_t c = 0; c < headDim; ++c) {
    low[c] = minimum[c] * kQuarter;
    inverse[c] = InverseQuarterRange(minimum[c], maximum[c]);
  }
  const size_t whole = headDim / kLanes * kLanes;
  const auto quarter = hn::Set(d, kQuarter);
  const auto limit = hn::Set(d, kNormalisedLimit);
  const auto negativeLimit = hn::Set(d, -kNormalisedLimit);
  for (size_t t = 0; t < count; ++t, rows += headDim * kBytes) {
    Lanes16 sum;
    for (size_t c = 0; c < whole; c += kLanes) {
      for (size_t p = 0; p < kParts; ++p) {
        const size_t at = c + p * kVector;
        const auto x = hn::Mul(LoadFloats<kType>(rows + at * kBytes), quarter);
        const auto n = hn::Mul(hn::Sub(x, hn::Load(d, low + at)), hn::Load(d, inverse + at));
        const auto clamped = hn::Min(hn::Max(n, negativeLimit), limit);
        hn::Store(clamped, d, row + at);
        sum.Add(p, clamped);
      }
    }
    for (size_t c = whole; c < headDim; ++c) {
      const float n = (LoadElement(rows, kType, c) * kQuarter - low[c]) * inverse[c];
      row[c] = n < -kNormalisedLimit ? -kNormalisedLimit : n > kNormalisedLimit ? kNormalisedLimit : n;
    }
    const float mean = sum.Finish(row + whole, headDim - whole) / static_cast<float>(headDim);

    Lanes16 squares;
    const auto means = hn::Set(d, mean);
    for (size_t c = 0; c < whole; c += kLanes) {
      for (size_t p = 0; p < kParts; ++p) {
        const auto difference = hn::Sub(hn::Load(d, row + c + p * kVector), means);
        squares.Add(p, hn::Mul(difference, difference));
      }
    }
    for (size_t c = whole; c < headDim; ++c) {
      const float difference = row[c] - mean;
      row[c] = difference * difference;
    }
    deviations[t] = DeviationFromSquares(squares.Finish(row + whole, headDim - whole), headDim);
  }
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

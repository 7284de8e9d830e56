// Scoring on vectors, but for ranges and deviations. Odd channels at the end of a row are added to their lanes one by one.
#include "scoring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "scoring.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "lanes-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

template <uint8_t kType>
void SquareSumsTyped(const uint8_t *rows, size_t count, size_t headDim, float *results) {
  constexpr size_t kBytes = ElementBytes(kType);
  const size_t whole = headDim / kLanes * kLanes;
  for (size_t t = 0; t < count; ++t, rows += headDim * kBytes) {
    Vector sums[kParts];
    for (size_t p = 0; p < kParts; ++p) sums[p] = hn::Zero(F32());
    for (size_t c = 0; c < whole; c += kLanes) {
      for (size_t p = 0; p < kParts; ++p) {
        const auto x = LoadFloats<kType>(rows + (c + p * kVector) * kBytes);
        sums[p] = hn::Add(sums[p], hn::Mul(x, x));
      }
    }
    float rest[kLanes];
    for (size_t c = whole; c < headDim; ++c) {
      const float x = LoadElement(rows, kType, c);
      rest[c - whole] = x * x;
    }
    results[t] = Finished(sums, rest, headDim - whole);
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
  auto mosts = hn::Set(d, -HUGE_VALF);
  size_t next = 0;
  for (; next + kVector <= count; next += kVector) mosts = hn::Max(hn::LoadU(d, x + next), mosts);
  float largest = hn::GetLane(hn::MaxOfLanes(d, mosts));
  for (; next < count; ++next) largest = x[next] > largest ? x[next] : largest;

  const size_t whole = count / kLanes * kLanes;
  const auto largests = hn::Set(d, largest);
  Vector sums[kParts];
  for (size_t p = 0; p < kParts; ++p) sums[p] = hn::Zero(d);
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      const auto e = Exponentials(hn::Sub(hn::LoadU(d, x + i + p * kVector), largests));
      hn::StoreU(e, d, x + i + p * kVector);
      sums[p] = hn::Add(sums[p], e);
    }
  }
  for (size_t i = whole; i < count; ++i) x[i] = Exponential(x[i] - largest);
  const float sum = Finished(sums, x + whole, count - whole);

  const auto total = hn::Set(d, sum);
  const auto weights = hn::Set(d, weight);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    const auto share = hn::Div(hn::LoadU(d, x + i), total);
    hn::StoreU(hn::Add(hn::LoadU(d, scores + i), hn::Mul(weights, share)), d, scores + i);
  }
  for (; i < count; ++i) scores[i] = scores[i] + weight * (x[i] / sum);
}

void SquareSums(const uint8_t *rows, uint8_t type, size_t count, size_t headDim, float *sums) {
  WithType(type, [=](auto known) HWY_ATTR { SquareSumsTyped<known>(rows, count, headDim, sums); });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(AddSoftmax);
HWY_EXPORT(SquareSums);
}  // namespace lagoon

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

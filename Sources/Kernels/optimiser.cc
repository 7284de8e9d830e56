// One step of the optimiser, and the norm of gradients.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "optimiser.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "optimiser.h"
#include "simd-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

void AdamW(const lagoon_adamw_step &step, const float *gradients, float *weights, float *first,
           float *second, size_t count) {
  const F32 d;
  const auto gradientScale = hn::Set(d, step.gradientScale);
  const auto firstDecay = hn::Set(d, step.firstDecay), firstShare = hn::Set(d, step.firstShare);
  const auto secondDecay = hn::Set(d, step.secondDecay), secondShare = hn::Set(d, step.secondShare);
  const auto weightFactor = hn::Set(d, step.weightFactor), rate = hn::Set(d, step.rate);
  const auto secondFactor = hn::Set(d, step.secondFactor), epsilon = hn::Set(d, step.epsilon);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    const auto g = hn::Mul(gradientScale, hn::LoadU(d, gradients + i));
    const auto m = hn::Add(hn::Mul(firstDecay, hn::LoadU(d, first + i)), hn::Mul(firstShare, g));
    const auto v =
        hn::Add(hn::Mul(secondDecay, hn::LoadU(d, second + i)), hn::Mul(secondShare, hn::Mul(g, g)));
    const auto divisor = hn::Add(hn::Mul(secondFactor, hn::Sqrt(v)), epsilon);
    const auto decayed = hn::Mul(weightFactor, hn::LoadU(d, weights + i));
    hn::StoreU(m, d, first + i);
    hn::StoreU(v, d, second + i);
    hn::StoreU(hn::Sub(decayed, hn::Div(hn::Mul(rate, m), divisor)), d, weights + i);
  }
  for (; i < count; ++i) AdamWElement(step, gradients[i], weights[i], first[i], second[i]);
}

double SquareSum(const float *elements, size_t count) {
  // As many lanes as a register holds, up to the 16 of the definition.
  const hn::CappedTag<double, 16> d;
  const hn::Rebind<float, decltype(d)> floats;
  constexpr size_t kStep = hn::MaxLanes(d);
  hn::Vec<decltype(d)> sums[kLanes / kStep];
  for (auto &sum : sums) sum = hn::Zero(d);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t part = 0; part < kLanes / kStep; ++part) {
      const auto x = hn::PromoteTo(d, hn::LoadU(floats, elements + i + part * kStep));
      sums[part] = hn::Add(sums[part], hn::Mul(x, x));
    }
  }
  double lanes[kLanes];
  for (size_t part = 0; part < kLanes / kStep; ++part) hn::StoreU(sums[part], d, lanes + part * kStep);
  for (size_t lane = 0; i < count; ++i, ++lane) lanes[lane] = lanes[lane] + Square(elements[i]);
  return ReduceSquares(lanes);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(AdamW);
HWY_EXPORT(SquareSum);
}  // namespace lagoon

extern "C" void lagoon_adamw(const lagoon_adamw_step *step, const float *gradients, float *weights,
                             float *first, float *second, size_t count) {
  using namespace lagoon;
  LAGOON_DISPATCH(AdamW)(*step, gradients, weights, first, second, count);
}

extern "C" double lagoon_square_sum(const float *elements, size_t count) {
  using namespace lagoon;
  return LAGOON_DISPATCH(SquareSum)(elements, count);
}
#endif

// The exponential of attention, for the target being compiled. Included once per target.
#include "scoring.h"  // the constants
#include "simd-inl.h"

#if defined(LAGOON_EXPONENTIAL_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_EXPONENTIAL_INL_H
#undef LAGOON_EXPONENTIAL_INL_H
#else
#define LAGOON_EXPONENTIAL_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Whether a product and a sum round once: on x86, from AVX2 on.
#undef LAGOON_FUSES
#define LAGOON_FUSES (!HWY_ARCH_X86 || HWY_TARGET <= HWY_AVX2)

#undef LAGOON_SCALES_BY_POWERS
#define LAGOON_SCALES_BY_POWERS (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)

// The polynomial of degree 5 that is nearest to exp(r) for |r| ≤ log(2) / 2, relatively and of those that are 1 at 0: 9e-8 off.
constexpr float kFastExp1 = 0.9999997f;
constexpr float kFastExp2 = 0.49999148f;
constexpr float kFastExp3 = 0.16667639f;
constexpr float kFastExp4 = 0.04189816f;
constexpr float kFastExp5 = 0.008290272f;
constexpr float kFastExpLog2 = 0.693147182f;

// exp(x) for x ≤ 0, exactly 1 for 0, relative error below 2e-7 for x ≥ -10 and 4e-7 elsewhere; 0 below kExpLowest. log 2 is split only where
// its product would be rounded: what it lacks is multiplied by little where a result is not small.
HWY_INLINE Vector FastExponentials(Vector x) {
  const F32 d;
  const auto round = hn::Set(d, kExpRound);
  const auto seen = hn::Ge(x, hn::Set(d, kExpLowest));
#if !LAGOON_SCALES_BY_POWERS
  x = hn::IfThenElseZero(seen, x);
#endif
  const auto n = hn::Sub(hn::MulAdd(x, hn::Set(d, kExpInverseLog2), round), round);
#if LAGOON_FUSES
  const auto r = hn::NegMulAdd(n, hn::Set(d, kFastExpLog2), x);
#else
  const auto r = hn::NegMulAdd(n, hn::Set(d, kExpLog2Low), hn::NegMulAdd(n, hn::Set(d, kExpLog2High), x));
#endif
  auto p = hn::Set(d, kFastExp5);
  p = hn::MulAdd(p, r, hn::Set(d, kFastExp4));
  p = hn::MulAdd(p, r, hn::Set(d, kFastExp3));
  p = hn::MulAdd(p, r, hn::Set(d, kFastExp2));
  p = hn::MulAdd(p, r, hn::Set(d, kFastExp1));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
#if LAGOON_SCALES_BY_POWERS
  // One instruction for four, with the same result: what is seen is not subnormal, and the rest is not looked at.
  return hn::IfThenElseZero(seen, Vector{_mm512_scalef_ps(p.raw, n.raw)});
#else
  const hn::RebindToSigned<F32> di;
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenElseZero(seen, hn::Mul(p, hn::BitCast(d, exponent)));
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

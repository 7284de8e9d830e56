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

#undef LAGOON_SCALES_BY_POWERS
#define LAGOON_SCALES_BY_POWERS (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)

// exp(x) for x ≤ 0, relative error about 2e-7; 0 below kExpLowest.
HWY_INLINE Vector FastExponentials(Vector x) {
  const F32 d;
  const auto round = hn::Set(d, kExpRound);
  const auto seen = hn::Ge(x, hn::Set(d, kExpLowest));
#if !LAGOON_SCALES_BY_POWERS
  x = hn::IfThenElseZero(seen, x);
#endif
  const auto n = hn::Sub(hn::MulAdd(x, hn::Set(d, kExpInverseLog2), round), round);
  const auto r = hn::NegMulAdd(n, hn::Set(d, kExpLog2Low), hn::NegMulAdd(n, hn::Set(d, kExpLog2High), x));
  auto p = hn::Set(d, kExp6);
  p = hn::MulAdd(p, r, hn::Set(d, kExp5));
  p = hn::MulAdd(p, r, hn::Set(d, kExp4));
  p = hn::MulAdd(p, r, hn::Set(d, kExp3));
  p = hn::MulAdd(p, r, hn::Set(d, kExp2));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
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

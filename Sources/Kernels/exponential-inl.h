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

// exp(x) for x ≤ 0, relative error about 2e-7; 0 below kExpLowest.
HWY_INLINE Vector FastExponentials(Vector x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto round = hn::Set(d, kExpRound);
  const auto seen = hn::Ge(x, hn::Set(d, kExpLowest));
  x = hn::IfThenElseZero(seen, x);
  const auto n = hn::Sub(hn::MulAdd(x, hn::Set(d, kExpInverseLog2), round), round);
  const auto r = hn::NegMulAdd(n, hn::Set(d, kExpLog2Low), hn::NegMulAdd(n, hn::Set(d, kExpLog2High), x));
  auto p = hn::Set(d, kExp6);
  p = hn::MulAdd(p, r, hn::Set(d, kExp5));
  p = hn::MulAdd(p, r, hn::Set(d, kExp4));
  p = hn::MulAdd(p, r, hn::Set(d, kExp3));
  p = hn::MulAdd(p, r, hn::Set(d, kExp2));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenElseZero(seen, hn::Mul(p, hn::BitCast(d, exponent)));
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

// The 16 lanes of the defined summation, for the target being compiled: one, two or four vectors, so the width of a vector does
// not show in a result. Included once per target.
#include "scoring.h"
#include "simd-inl.h"

#if defined(LAGOON_LANES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_LANES_INL_H
#undef LAGOON_LANES_INL_H
#else
#define LAGOON_LANES_INL_H
#endif

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

constexpr size_t kParts = kLanes / kVector;  // vectors that hold the 16 lanes

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

// The sum of 16 lanes, after `count` further terms (fewer than 16) for the lanes from the first on.
HWY_INLINE float Finished(const Vector (&parts)[kParts], const float *terms, size_t count) {
  if (count == 0) {
    if constexpr (kParts == 4) {
      return FoldedVector(F32(), hn::Add(hn::Add(parts[0], parts[2]), hn::Add(parts[1], parts[3])));
    }
    if constexpr (kParts == 2) return FoldedVector(F32(), hn::Add(parts[0], parts[1]));
    if constexpr (kParts == 1) return FoldedVector(F32(), parts[0]);
  }
  HWY_ALIGN float lanes[kLanes];
  for (size_t p = 0; p < kParts; ++p) hn::Store(parts[p], F32(), lanes + p * kVector);
  for (size_t i = 0; i < count; ++i) lanes[i] = lanes[i] + terms[i];
  return ReduceLanes(lanes);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

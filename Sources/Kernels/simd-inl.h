// Vectors of f32 from rows of any element type, for the target being compiled. Included once per target.
#include "elements.h"
#include "hwy/highway.h"

#if defined(LAGOON_SIMD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_SIMD_INL_H
#undef LAGOON_SIMD_INL_H
#else
#define LAGOON_SIMD_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that padded rows are whole vectors.
using F32 = hn::CappedTag<float, 16>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using Vector = hn::Vec<F32>;
constexpr size_t kVector = HWY_LANES(float) < 16 ? HWY_LANES(float) : 16;

// x86 before AVX2 has no instruction for binary16; Highway's stand-in goes lane by lane.
#define LAGOON_SOFT_F16 (HWY_ARCH_X86 && HWY_TARGET > HWY_AVX2)

HWY_INLINE Vector FloatsFromBF16(hn::Vec<U16> bits) {
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), bits)));
}

// Round to nearest, ties to even; NaN is made quiet. As BF16FromFloat.
HWY_INLINE hn::Vec<U16> BF16FromFloats(Vector value) {
  const U32 du;
  const auto bits = hn::BitCast(du, value);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto rounded = hn::Add(hn::Add(bits, hn::Set(du, 0x7FFF)), odd);
  const auto quiet = hn::Or(bits, hn::Set(du, 0x400000));
  const auto isNaN = hn::Gt(hn::And(bits, hn::Set(du, 0x7FFFFFFF)), hn::Set(du, 0x7F800000));
  const auto upper = hn::ShiftRight<16>(hn::IfThenElse(isNaN, quiet, rounded));
  return hn::DemoteTo(U16(), hn::BitCast(hn::RebindToSigned<U32>(), upper));
}

HWY_INLINE Vector FloatsFromF16(hn::Vec<U16> bits) {
#if LAGOON_SOFT_F16
  const F32 d;
  const U32 du;
  const auto wide = hn::PromoteTo(du, bits);
  const auto magnitude = hn::And(wide, hn::Set(du, 0x7FFF));
  const auto sign = hn::ShiftLeft<16>(hn::And(wide, hn::Set(du, 0x8000)));
  // Exponent and mantissa in place, then the exponent's bias: exact, subnormals included.
  const auto scaled = hn::Mul(hn::BitCast(d, hn::ShiftLeft<13>(magnitude)), hn::Set(d, 0x1p112f));
  const auto special = hn::Gt(magnitude, hn::Set(du, 0x7BFF));
  const auto exponent = hn::IfThenElseZero(special, hn::Set(du, 0x7F800000));
  return hn::BitCast(d, hn::Or(hn::Or(hn::BitCast(du, scaled), exponent), sign));
#else
  return hn::PromoteTo(F32(), hn::BitCast(hn::Rebind<hwy::float16_t, F32>(), bits));
#endif
}

// Round to nearest, ties to even. As F16FromFloat.
HWY_INLINE hn::Vec<U16> F16FromFloats(Vector value) {
#if LAGOON_SOFT_F16
  const F32 d;
  const U32 du;
  const auto bits = hn::BitCast(du, value);
  const auto magnitude = hn::And(bits, hn::Set(du, 0x7FFFFFFF));
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 0x8000));
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(du, 1));
  const auto rounded = hn::ShiftRight<13>(hn::Add(hn::Add(magnitude, hn::Set(du, 0xFFF)), odd));
  const auto normal = hn::Sub(rounded, hn::Set(du, 112u << 10));
  const auto shifted = hn::Add(hn::BitCast(d, magnitude), hn::Set(d, 0.5f));
  const auto subnormal = hn::Sub(hn::BitCast(du, shifted), hn::Set(du, 0x3F000000));
  auto half = hn::IfThenElse(hn::Lt(magnitude, hn::Set(du, 0x38800000)), subnormal, normal);
  half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x477FEFFF)), hn::Set(du, 0x7C00), half);
  half = hn::IfThenElse(hn::Gt(magnitude, hn::Set(du, 0x7F800000)), hn::Set(du, 0x7E00), half);
  return hn::DemoteTo(U16(), hn::BitCast(hn::RebindToSigned<U32>(), hn::Or(half, sign)));
#else
  return hn::BitCast(U16(), hn::DemoteTo(hn::Rebind<hwy::float16_t, F32>(), value));
#endif
}

// 2 * kVector bf16 elements from any address: the even ones and the odd ones, an instruction each where widening neighbours takes
// two, on the pipes that shuffle.
HWY_INLINE void LoadEvenOdd(const uint8_t *from, Vector &even, Vector &odd) {
  const U32 d;
  const auto pairs = hn::LoadU(d, reinterpret_cast<const uint32_t *>(from));
  even = hn::BitCast(F32(), hn::ShiftLeft<16>(pairs));
  odd = hn::BitCast(F32(), hn::And(pairs, hn::Set(d, 0xFFFF0000u)));
}

// Of each block of four lanes, those of a, b, c and e together: lanes two apart first, then neighbours.
template <class Together>
HWY_INLINE Vector BlocksOfFour(Vector a, Vector b, Vector c, Vector e, const Together &together) {
  const F32 d;
  const hn::RepartitionToWide<U32> wide;
  const auto ab = hn::BitCast(wide, together(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b)));
  const auto ce = hn::BitCast(wide, together(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e)));
  const auto lower = hn::BitCast(d, hn::InterleaveLower(wide, ab, ce));
  const auto upper = hn::BitCast(d, hn::InterleaveUpper(wide, ab, ce));
  return together(lower, upper);
}

HWY_INLINE Vector BlockSums(Vector a, Vector b, Vector c, Vector e) {
  return BlocksOfFour(a, b, c, e, [](auto x, auto y) HWY_ATTR { return hn::Add(x, y); });
}

// kVector elements from any address.
template <uint8_t kType>
HWY_INLINE Vector LoadFloats(const uint8_t *from) {
  if constexpr (kType == LAGOON_F32) {
    return hn::LoadU(F32(), reinterpret_cast<const float *>(from));
  } else {
    const auto bits = hn::LoadU(U16(), reinterpret_cast<const uint16_t *>(from));
    if constexpr (kType == LAGOON_BF16) {
      return FloatsFromBF16(bits);
    } else {
      return FloatsFromF16(bits);
    }
  }
}

// kCount vectors of channels from any address. bf16 comes in pairs of vectors, the even channels of both and then the odd ones: whatever
// meets them is arranged in the same way.
template <uint8_t kType, size_t kCount>
HWY_INLINE void LoadChannels(const uint8_t *from, Vector (&channels)[kCount]) {
  if constexpr (kType == LAGOON_BF16) {
    static_assert(kCount % 2 == 0, "pairs");
    for (size_t v = 0; v < kCount; v += 2) LoadEvenOdd(from + v * kVector * 2, channels[v], channels[v + 1]);
  } else {
    for (size_t v = 0; v < kCount; ++v) channels[v] = LoadFloats<kType>(from + v * kVector * ElementBytes(kType));
  }
}

// Floats that meet bf16 from LoadEvenOdd, arranged as it does, a multiple of 2 * kVector; `to` may be where they are.
HWY_INLINE void ArrangeEvenOdd(const float *floats, size_t count, float *to) {
  const F32 d;
  for (size_t i = 0; i < count; i += 2 * kVector) {
    Vector even, odd;
    hn::LoadInterleaved2(d, floats + i, even, odd);
    hn::StoreU(even, d, to + i);
    hn::StoreU(odd, d, to + i + kVector);
  }
}

// kVector elements to any address.
template <uint8_t kType>
HWY_INLINE void StoreFloats(Vector value, uint8_t *to) {
  if constexpr (kType == LAGOON_F32) {
    hn::StoreU(value, F32(), reinterpret_cast<float *>(to));
  } else if constexpr (kType == LAGOON_BF16) {
    hn::StoreU(BF16FromFloats(value), U16(), reinterpret_cast<uint16_t *>(to));
  } else {
    hn::StoreU(F16FromFloats(value), U16(), reinterpret_cast<uint16_t *>(to));
  }
}

// Calls `body` with the element type as a constant.
template <class Body>
HWY_INLINE void WithType(uint8_t type, const Body &body) {
  switch (type) {
    case LAGOON_F32: return body(std::integral_constant<uint8_t, LAGOON_F32>());
    case LAGOON_BF16: return body(std::integral_constant<uint8_t, LAGOON_BF16>());
    case LAGOON_F16: return body(std::integral_constant<uint8_t, LAGOON_F16>());
    default: return;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

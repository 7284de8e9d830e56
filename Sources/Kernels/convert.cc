// Conversions between element types, and the search for elements that are not finite.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "convert.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

template <uint8_t kFrom, uint8_t kTo>
void ConvertTyped(const uint8_t *source, uint8_t *destination, size_t count) {
  constexpr size_t kFromBytes = ElementBytes(kFrom);
  constexpr size_t kToBytes = ElementBytes(kTo);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    StoreFloats<kTo>(LoadFloats<kFrom>(source + i * kFromBytes), destination + i * kToBytes);
  }
  for (; i < count; ++i) StoreElement(LoadElement(source, kFrom, i), destination, kTo, i);
}

void Convert(const uint8_t *source, uint8_t sourceType, uint8_t *destination, uint8_t destinationType,
             size_t count) {
  WithType(sourceType, [=](auto from) HWY_ATTR {
    WithType(destinationType, [=](auto to) HWY_ATTR {
      if constexpr (from == to) {
        std::memcpy(destination, source, count * ElementBytes(from));
      } else {
        ConvertTyped<from, to>(source, destination, count);
      }
    });
  });
}

// An element is finite unless all bits of its exponent are set.
template <typename T>
ptrdiff_t FirstWithExponent(const uint8_t *elements, uint8_t type, T exponent, size_t count) {
  const hn::CappedTag<T, 64 / sizeof(T)> d;
  const size_t lanes = hn::Lanes(d);
  const auto mask = hn::Set(d, exponent);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::LoadU(d, reinterpret_cast<const T *>(elements + i * sizeof(T)));
    if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Eq(hn::And(bits, mask), mask)))) break;
  }
  for (; i < count; ++i) {
    if (!IsFiniteElement(elements, type, i)) return static_cast<ptrdiff_t>(i);
  }
  return -1;
}

ptrdiff_t FirstNonfinite(const uint8_t *elements, uint8_t type, size_t count) {
  switch (type) {
    case LAGOON_F32: return FirstWithExponent<uint32_t>(elements, type, 0x7F800000, count);
    case LAGOON_BF16: return FirstWithExponent<uint16_t>(elements, type, 0x7F80, count);
    case LAGOON_F16: return FirstWithExponent<uint16_t>(elements, type, 0x7C00, count);
    default: return -1;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(Convert);
HWY_EXPORT(FirstNonfinite);
}  // namespace lagoon

extern "C" void lagoon_convert(const void *source, uint8_t sourceType, void *destination,
                               uint8_t destinationType, size_t count) {
  using namespace lagoon;
  LAGOON_DISPATCH(Convert)(static_cast<const uint8_t *>(source), sourceType,
                           static_cast<uint8_t *>(destination), destinationType, count);
}

extern "C" ptrdiff_t lagoon_first_nonfinite(const void *elements, uint8_t type, size_t count) {
  using namespace lagoon;
  return LAGOON_DISPATCH(FirstNonfinite)(static_cast<const uint8_t *>(elements), type, count);
}
#endif

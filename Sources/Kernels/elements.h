// Single elements of the three types, in plain scalar code. Used by the scalar twins and for the odd ends
// of SIMD loops, so both see the same conversions.
#pragma once

#include <cstdint>
#include <cstring>

#include "Kernels.h"

namespace lagoon {

constexpr size_t ElementBytes(uint8_t type) { return type == LAGOON_F32 ? 4 : 2; }

template <typename T>
inline T LoadAs(const void *from) {
  T value;
  std::memcpy(&value, from, sizeof(T));  // any alignment
  return value;
}

template <typename T>
inline void StoreAs(T value, void *to) {
  std::memcpy(to, &value, sizeof(T));
}

inline float FloatFromBits(uint32_t bits) { return LoadAs<float>(&bits); }
inline uint32_t BitsFromFloat(float value) { return LoadAs<uint32_t>(&value); }

inline float FloatFromBF16(uint16_t bits) { return FloatFromBits(static_cast<uint32_t>(bits) << 16); }

// Round to nearest, ties to even. A NaN is made quiet, so that it survives the loss of its low bits.
inline uint16_t BF16FromFloat(float value) {
  const uint32_t bits = BitsFromFloat(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

inline float FloatFromF16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1F;
  const uint32_t mantissa = half & 0x3FF;
  if (exponent == 0x1F) {  // infinity, NaN (made quiet)
    return FloatFromBits(sign | 0x7F800000 | (mantissa << 13) | (mantissa ? 0x400000 : 0));
  }
  if (exponent == 0) {  // zero, subnormal: mantissa * 2^-24, exact
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return FloatFromBits(sign | BitsFromFloat(magnitude));
  }
  return FloatFromBits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

// Round to nearest, ties to even; 65520 and above become infinity.
inline uint16_t F16FromFloat(float value) {
  const uint32_t bits = BitsFromFloat(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return static_cast<uint16_t>(sign | 0x7E00 | ((magnitude >> 13) & 0x3FF));
  if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);
  if (magnitude < 0x38800000) {
    // Subnormal or zero: adding one half puts the unit of 2^-24 at the last bit, and the addition rounds.
    const float shifted = FloatFromBits(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (BitsFromFloat(shifted) - 0x3F000000));
  }
  const uint32_t rounded = magnitude + 0xFFF + ((magnitude >> 13) & 1);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112 << 10)));
}

inline float LoadElement(const void *elements, uint8_t type, size_t index) {
  const uint8_t *bytes = static_cast<const uint8_t *>(elements);
  switch (type) {
    case LAGOON_BF16: return FloatFromBF16(LoadAs<uint16_t>(bytes + 2 * index));
    case LAGOON_F16: return FloatFromF16(LoadAs<uint16_t>(bytes + 2 * index));
    default: return LoadAs<float>(bytes + 4 * index);
  }
}

inline void StoreElement(float value, void *elements, uint8_t type, size_t index) {
  uint8_t *bytes = static_cast<uint8_t *>(elements);
  switch (type) {
    case LAGOON_BF16: return StoreAs<uint16_t>(BF16FromFloat(value), bytes + 2 * index);
    case LAGOON_F16: return StoreAs<uint16_t>(F16FromFloat(value), bytes + 2 * index);
    default: return StoreAs<float>(value, bytes + 4 * index);
  }
}

inline bool IsFiniteElement(const void *elements, uint8_t type, size_t index) {
  const uint8_t *bytes = static_cast<const uint8_t *>(elements);
  switch (type) {
    case LAGOON_BF16: return (LoadAs<uint16_t>(bytes + 2 * index) & 0x7F80) != 0x7F80;
    case LAGOON_F16: return (LoadAs<uint16_t>(bytes + 2 * index) & 0x7C00) != 0x7C00;
    default: return (LoadAs<uint32_t>(bytes + 4 * index) & 0x7F800000) != 0x7F800000;
  }
}

inline bool IsType(uint8_t type) { return type <= LAGOON_F16; }

}  // namespace lagoon

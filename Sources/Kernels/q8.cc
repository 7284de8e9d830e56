// Packing and unpacking of 8-bit rows. Plain code: rows are packed once, when they are kept, and unpacked for inspection only.
#include "q8.h"

#include <cmath>

namespace lagoon {
namespace {

// The bf16 next to `value`, 0 or more, that is not below it.
uint16_t BF16Above(float value) {
  const uint32_t bits = BitsFromFloat(value);
  return static_cast<uint16_t>((bits >> 16) + ((bits & 0xFFFF) == 0 ? 0 : 1));
}

struct Range {
  float zero;
  float scale;
};

// The zero and the scale of elements between minimum and maximum, written as bf16 to `zero` and `scale`.
Range StoreRange(float minimum, float maximum, uint8_t *zero, uint8_t *scale) {
  // In double, where sums and differences of any two floats are finite.
  const double middle = (static_cast<double>(minimum) + maximum) / 2;
  uint16_t zeroBits = BF16FromFloat(static_cast<float>(middle));
  if ((zeroBits & 0x7FFF) == 0x7F80) --zeroBits;  // rounded to infinity: the largest bf16
  const double base = FloatFromBF16(zeroBits);
  const double step = std::fmax((maximum - base) / 127, (base - minimum) / 128);
  const uint16_t scaleBits = step > 0 ? BF16Above(std::nextafter(static_cast<float>(step), HUGE_VALF)) : 0;
  StoreAs<uint16_t>(zeroBits, zero);
  StoreAs<uint16_t>(scaleBits, scale);
  return {static_cast<float>(base), FloatFromBF16(scaleBits)};
}

// What no code may stand for more than, so that a row stays finite in its type when it is unpacked.
double Largest(uint8_t type) { return type == LAGOON_F16 ? 65504 : 3.38e38; }

int8_t Code(float value, Range range, uint8_t type) {
  if (range.scale == 0) return 0;
  double code = std::floor((static_cast<double>(value) - range.zero) / range.scale + 0.5);
  code = code < -128 ? -128 : code > 127 ? 127 : code;
  while (range.zero + code * range.scale > Largest(type)) --code;
  while (range.zero + code * range.scale < -Largest(type)) ++code;
  return static_cast<int8_t>(code);
}

// The block's parts, to be written.
template <class T>
T *Writable(const T *part) {
  return const_cast<T *>(part);
}

}  // namespace
}  // namespace lagoon

extern "C" size_t lagoon_q8_bytes(size_t rows, size_t headDim) {
  return 4 * headDim + 4 * rows + 2 * rows * headDim;
}

extern "C" void lagoon_q8_pack(const void *keys, const void *values, uint8_t type, size_t rows, size_t headDim,
                               void *block) {
  using namespace lagoon;
  const Q8Block to(block, rows, headDim);
  for (size_t c = 0; c < headDim; ++c) {
    float minimum = HUGE_VALF, maximum = -HUGE_VALF;
    for (size_t r = 0; r < rows; ++r) {
      const float key = LoadElement(keys, type, r * headDim + c);
      minimum = std::fmin(minimum, key);
      maximum = std::fmax(maximum, key);
    }
    const Range range = StoreRange(minimum, maximum, Writable(to.keyZeros) + 2 * c, Writable(to.keyScales) + 2 * c);
    for (size_t r = 0; r < rows; ++r) {
      Writable(to.keys)[r * headDim + c] = Code(LoadElement(keys, type, r * headDim + c), range, type);
    }
  }
  for (size_t r = 0; r < rows; ++r) {
    float minimum = HUGE_VALF, maximum = -HUGE_VALF;
    for (size_t c = 0; c < headDim; ++c) {
      const float value = LoadElement(values, type, r * headDim + c);
      minimum = std::fmin(minimum, value);
      maximum = std::fmax(maximum, value);
    }
    const Range range =
        StoreRange(minimum, maximum, Writable(to.valueZeros) + 2 * r, Writable(to.valueScales) + 2 * r);
    for (size_t c = 0; c < headDim; ++c) {
      Writable(to.values)[r * headDim + c] = Code(LoadElement(values, type, r * headDim + c), range, type);
    }
  }
}

extern "C" void lagoon_q8_unpack(const void *block, size_t rows, size_t headDim, uint8_t type, void *keys,
                                 void *values) {
  using namespace lagoon;
  const Q8Block from(block, rows, headDim);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < headDim; ++c) {
      StoreElement(from.Key(r, c, headDim), keys, type, r * headDim + c);
      StoreElement(from.Value(r, c, headDim), values, type, r * headDim + c);
    }
  }
}

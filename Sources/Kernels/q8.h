// Where the parts of a block of 8-bit rows lie; Kernels.h says what they are.
#pragma once

#include "elements.h"

namespace lagoon {

struct Q8Block {
  const uint8_t *keyZeros;     // bf16 [headDim]
  const uint8_t *keyScales;    // bf16 [headDim]
  const uint8_t *valueZeros;   // bf16 [rows]
  const uint8_t *valueScales;  // bf16 [rows]
  const int8_t *keys;          // [rows, headDim]
  const int8_t *values;        // [rows, headDim]

  Q8Block(const void *block, size_t rows, size_t headDim) {
    keyZeros = static_cast<const uint8_t *>(block);
    keyScales = keyZeros + 2 * headDim;
    valueZeros = keyScales + 2 * headDim;
    valueScales = valueZeros + 2 * rows;
    keys = reinterpret_cast<const int8_t *>(valueScales + 2 * rows);
    values = keys + rows * headDim;
  }

  float Key(size_t row, size_t channel, size_t headDim) const {
    return LoadElement(keyZeros, LAGOON_BF16, channel) +
           LoadElement(keyScales, LAGOON_BF16, channel) * static_cast<float>(keys[row * headDim + channel]);
  }
  float Value(size_t row, size_t channel, size_t headDim) const {
    return LoadElement(valueZeros, LAGOON_BF16, row) +
           LoadElement(valueScales, LAGOON_BF16, row) * static_cast<float>(values[row * headDim + channel]);
  }
};

}  // namespace lagoon

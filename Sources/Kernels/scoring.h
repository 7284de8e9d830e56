// What scoring.cc and its scalar twins share: the fixed reduction, and the exponential's constants.
// Anything here that is changed changes which tokens are kept.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "elements.h"

#pragma clang fp contract(off)

namespace lagoon {

constexpr size_t kLanes = 16;  // of the defined summation, whatever the CPU's vectors are

// The fixed tree: 16 lanes to one. Destroys its argument.
inline float ReduceLanes(float *lanes) {
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
  }
  return lanes[0];
}

// The unbiased standard deviation from the sum of squared differences over `count` channels.
inline float DeviationFromSquares(float squares, size_t count) {
  return count < 2 ? 0.0f : std::sqrt(squares / static_cast<float>(count - 1));
}

// Normalised values are taken in quarters, so that neither x - minimum nor the range can overflow, and
// clamped so that their squares can't.
constexpr float kQuarter = 0.25f;
constexpr float kNormalisedLimit = 1e15f;
constexpr float kLargestInverse = 3.4028234663852886e38f;

inline float ClampedToLimit(float value) {
  return value < -kNormalisedLimit ? -kNormalisedLimit : value > kNormalisedLimit ? kNormalisedLimit : value;
}

// A row with a mean and a sum of squared differences within these has no value beyond the limit: one would be 9e14 off the
// mean, and its square alone 8e29.
constexpr float kSafeMean = 1e14f;
constexpr float kSafeSquares = 1e28f;

// 1 / (range / 4), 0 for a channel without range, at most the largest finite float.
inline float InverseQuarterRange(float minimum, float maximum) {
  const float range = maximum * kQuarter - minimum * kQuarter;
  if (range == 0.0f) return 0.0f;
  const float inverse = 1.0f / range;
  return inverse < kLargestInverse ? inverse : kLargestInverse;
}

// Minima and maxima that are zeros become +0, whichever of them came first.
inline void DropSigns(float *floats, size_t count) {
  for (size_t i = 0; i < count; ++i) floats[i] = floats[i] + 0.0f;
}

// exp(x) for x ≤ 0: x = n log 2 + r with |r| ≤ log(2) / 2, a polynomial of degree 6 in r, times 2^n. Below
// kExpLowest the result is 0. n comes from adding and subtracting kExpRound, which rounds to nearest. log 2
// is split so that n * kExpLog2High is exact.
constexpr float kExpLowest = -87.0f;
constexpr float kExpInverseLog2 = 1.44269504088896341f;
constexpr float kExpRound = 12582912.0f;  // 1.5 * 2^23
constexpr float kExpLog2High = 0.693359375f;
constexpr float kExpLog2Low = -2.12194440e-4f;
constexpr float kExp2 = 0.5f;
constexpr float kExp3 = 0.166666671634f;
constexpr float kExp4 = 0.0416664853692f;
constexpr float kExp5 = 0.00833336077630f;
constexpr float kExp6 = 0.00139304355252f;

// Defined operation by operation; the vectors of scoring.cc do the same.
inline float Exponential(float x) {
  if (x < kExpLowest) return 0.0f;
  const float n = (x * kExpInverseLog2 + kExpRound) - kExpRound;
  const float r = (x - n * kExpLog2High) - n * kExpLog2Low;
  float p = kExp6;
  p = p * r + kExp5;
  p = p * r + kExp4;
  p = p * r + kExp3;
  p = p * r + kExp2;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = static_cast<int32_t>(n) + 127;
  return p * FloatFromBits(static_cast<uint32_t>(exponent) << 23);
}

}  // namespace lagoon

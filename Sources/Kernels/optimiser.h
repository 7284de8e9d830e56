// What the optimiser's kernels share with their scalar twins.
#pragma once

#include <cmath>

#include "elements.h"
#include "scoring.h"  // kLanes

#pragma clang fp contract(off)

namespace lagoon {

inline void AdamWElement(const lagoon_adamw_step &step, float gradient, float &weight, float &first,
                         float &second) {
  const float g = step.gradientScale * gradient;
  first = step.firstDecay * first + step.firstShare * g;
  second = step.secondDecay * second + step.secondShare * (g * g);
  const float divisor = step.secondFactor * std::sqrt(second) + step.epsilon;
  weight = step.weightFactor * weight - step.rate * first / divisor;
}

inline double Square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

// Lane i adds lane i + 8, then i + 4, i + 2, i + 1.
inline double ReduceSquares(double (&lanes)[kLanes]) {
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] = lanes[lane] + lanes[lane + half];
  }
  return lanes[0];
}

}  // namespace lagoon

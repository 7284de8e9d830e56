// Scalar twins of optimiser.cc. Same bits as every SIMD target.
#include "optimiser.h"

#pragma clang fp contract(off)

using namespace lagoon;

extern "C" void lagoon_adamw_scalar(const lagoon_adamw_step *step, const float *gradients, float *weights,
                                    float *first, float *second, size_t count) {
  for (size_t i = 0; i < count; ++i) AdamWElement(*step, gradients[i], weights[i], first[i], second[i]);
}

extern "C" double lagoon_square_sum_scalar(const float *elements, size_t count) {
  double lanes[kLanes] = {};
  for (size_t i = 0; i < count; ++i) lanes[i % kLanes] = lanes[i % kLanes] + Square(elements[i]);
  return ReduceSquares(lanes);
}

// Scalar twins of scoring.cc: the defined summation written out. Same bits as every SIMD target.
#include "scoring.h"

#pragma clang fp contract(off)

using namespace lagoon;

namespace {

float Sum(const float *terms, size_t count) {
  float lanes[kLanes] = {};
  for (size_t i = 0; i < count; ++i) lanes[i % kLanes] = lanes[i % kLanes] + terms[i];
  return ReduceLanes(lanes);
}

}  // namespace

extern "C" void lagoon_channel_range_scalar(const lagoon_row_run *runs, size_t runCount, uint8_t type,
                                            size_t headDim, float *minimum, float *maximum) {
  for (size_t run = 0; run < runCount; ++run) {
    for (size_t t = 0; t < runs[run].count; ++t) {
      for (size_t c = 0; c < headDim; ++c) {
        const float x = LoadElement(runs[run].rows, type, t * headDim + c);
        if (x < minimum[c]) minimum[c] = x;
        if (x > maximum[c]) maximum[c] = x;
      }
    }
  }
  DropSigns(minimum, headDim);
  DropSigns(maximum, headDim);
}

extern "C" void lagoon_normalised_std_scalar(const lagoon_row_run *runs, size_t runCount, uint8_t type,
                                             size_t headDim, const float *minimum, const float *maximum,
                                             float *deviations) {
  float inverse[LAGOON_MAX_HEAD_DIM];
  float row[LAGOON_MAX_HEAD_DIM];
  for (size_t c = 0; c < headDim; ++c) inverse[c] = InverseQuarterRange(minimum[c], maximum[c]);
  for (size_t run = 0; run < runCount; ++run) {
    for (size_t t = 0; t < runs[run].count; ++t) {
      for (size_t c = 0; c < headDim; ++c) {
        const float x = LoadElement(runs[run].rows, type, t * headDim + c);
        const float n = (x * kQuarter - minimum[c] * kQuarter) * inverse[c];
        row[c] = ClampedToLimit(n);
      }
      const float mean = Sum(row, headDim) / static_cast<float>(headDim);
      for (size_t c = 0; c < headDim; ++c) {
        const float difference = row[c] - mean;
        row[c] = difference * difference;
      }
      *deviations++ = DeviationFromSquares(Sum(row, headDim), headDim);
    }
  }
}

extern "C" void lagoon_add_softmax_scalar(float *x, size_t count, float weight, float *scores) {
  if (count == 0) return;
  float largest = -HUGE_VALF;
  for (size_t i = 0; i < count; ++i) largest = x[i] > largest ? x[i] : largest;
  for (size_t i = 0; i < count; ++i) x[i] = Exponential(x[i] - largest);
  const float sum = Sum(x, count);
  for (size_t i = 0; i < count; ++i) scores[i] = scores[i] + weight * (x[i] / sum);
}

extern "C" void lagoon_square_sums_scalar(const void *rows, uint8_t type, size_t count, size_t headDim,
                                          float *sums) {
  float row[LAGOON_MAX_HEAD_DIM];
  for (size_t t = 0; t < count; ++t) {
    for (size_t c = 0; c < headDim; ++c) {
      const float x = LoadElement(rows, type, t * headDim + c);
      row[c] = x * x;
    }
    sums[t] = Sum(row, headDim);
  }
}

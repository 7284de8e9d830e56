// Scalar twins of elementwise.cc.
#include <cmath>

#include "elements.h"

using namespace lagoon;

namespace {

float InverseRootMeanSquare(const float *row, size_t width, float epsilon) {
  return 1.0f / std::sqrt(lagoon_dot_scalar(row, row, width) / static_cast<float>(width) + epsilon);
}

float Sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

}  // namespace

extern "C" {

void lagoon_add_scalar(const float *left, const float *right, float *sums, size_t count) {
  for (size_t i = 0; i < count; ++i) sums[i] = left[i] + right[i];
}

void lagoon_scale_scalar(const float *elements, float factor, float *products, size_t count) {
  for (size_t i = 0; i < count; ++i) products[i] = factor * elements[i];
}

float lagoon_dot_scalar(const float *left, const float *right, size_t count) {
  float sum = 0;
  for (size_t i = 0; i < count; ++i) sum += left[i] * right[i];
  return sum;
}

void lagoon_round_bf16_scalar(const float *elements, float *rounded, size_t count) {
  for (size_t i = 0; i < count; ++i) rounded[i] = FloatFromBF16(BF16FromFloat(elements[i]));
}

void lagoon_rms_norm_scalar(const float *input, const float *weight, float epsilon, size_t rows, size_t width,
                            float *output) {
  for (size_t row = 0; row < rows; ++row, input += width, output += width) {
    const float scale = InverseRootMeanSquare(input, width, epsilon);
    for (size_t c = 0; c < width; ++c) output[c] = input[c] * scale * weight[c];
  }
}

void lagoon_rms_norm_backward_scalar(const float *input, const float *weight, const float *dOutput,
                                     float epsilon, size_t rows, size_t width, float *dInput,
                                     double *dWeight) {
  for (size_t row = 0; row < rows; ++row, input += width, dOutput += width, dInput += width) {
    const float scale = InverseRootMeanSquare(input, width, epsilon);
    float inner = 0;
    for (size_t c = 0; c < width; ++c) {
      inner += dOutput[c] * weight[c] * input[c];
      dWeight[c] += static_cast<double>(dOutput[c] * input[c] * scale);
    }
    const float pull = scale * scale * scale * (inner / static_cast<float>(width));
    for (size_t c = 0; c < width; ++c) dInput[c] += scale * dOutput[c] * weight[c] - pull * input[c];
  }
}

void lagoon_swiglu_scalar(const float *gate, const float *up, float *output, size_t count) {
  for (size_t i = 0; i < count; ++i) output[i] = gate[i] * Sigmoid(gate[i]) * up[i];
}

void lagoon_swiglu_backward_scalar(const float *gate, const float *up, const float *dOutput, float *dGate,
                                   float *dUp, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const float sigmoid = Sigmoid(gate[i]);
    const float share = dOutput[i] * sigmoid;
    dGate[i] = share * up[i] * (1.0f + gate[i] * (1.0f - sigmoid));
    dUp[i] = share * gate[i];
  }
}

void lagoon_rotate_scalar(float *heads, size_t count, size_t pairs, const float *cosines, const float *sines,
                          float sign) {
  for (size_t head = 0; head < count; ++head, heads += 2 * pairs) {
    for (size_t c = 0; c < pairs; ++c) {
      const float first = heads[c], second = heads[c + pairs], sine = sign * sines[c];
      heads[c] = first * cosines[c] - second * sine;
      heads[c + pairs] = second * cosines[c] + first * sine;
    }
  }
}

double lagoon_exponential_sum_scalar(const float *logits, size_t count, float *peak) {
  for (size_t i = 0; i < count; ++i) *peak = logits[i] > *peak ? logits[i] : *peak;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(logits[i] - *peak));
  return sum;
}

void lagoon_probabilities_scalar(float *logits, size_t count, double logSumExp, float scale) {
  for (size_t i = 0; i < count; ++i) {
    logits[i] = scale * static_cast<float>(std::exp(static_cast<double>(logits[i]) - logSumExp));
  }
}

}  // extern "C"

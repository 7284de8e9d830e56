// The element-wise kernels of training: part of Kernels.h, whose rules hold here too. Everything is f32 unless
// a comment says otherwise.
#ifndef LAGOON_TRAINING_KERNELS_H
#define LAGOON_TRAINING_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// -- Optimiser (optimiser.cc) --------------------------------------------------------------------------
//
// Products and sums are rounded separately, never fused: the same bits on every CPU and in the scalar twins.

// The numbers of one AdamW step (Loshchilov & Hutter 2019, algorithm 2).
typedef struct {
  float gradientScale;    // factor of the gradients: 1, or what clipping leaves of them
  float firstDecay;       // β₁
  float firstShare;       // 1 − β₁
  float secondDecay;      // β₂
  float secondShare;      // 1 − β₂
  float weightFactor;     // 1 − learning rate · weight decay
  float rate;             // learning rate / (1 − β₁ᵗ)
  float secondFactor;     // 1 / √(1 − β₂ᵗ)
  float epsilon;
} lagoon_adamw_step;

// For each of `count` elements, with g = gradientScale · gradient:
//
//   first  = firstDecay · first + firstShare · g
//   second = secondDecay · second + secondShare · g²
//   weight = weightFactor · weight − rate · first / (secondFactor · √second + epsilon)
void lagoon_adamw(const lagoon_adamw_step *step, const float *gradients, float *weights, float *first,
                  float *second, size_t count);
void lagoon_adamw_scalar(const lagoon_adamw_step *step, const float *gradients, float *weights, float *first,
                         float *second, size_t count);

// The sum of the squares of `count` elements, in f64: 16 lanes, lane i adds the terms i, i + 16, … in that
// order; then lane i adds lane i + 8, then i + 4, i + 2, i + 1.
double lagoon_square_sum(const float *elements, size_t count);
double lagoon_square_sum_scalar(const float *elements, size_t count);

// -- Element by element (elementwise.cc) ---------------------------------------------------------------
//
// Sums and products may be fused, and a target has its own bits; but an element's (in norms, a row's) depend on
// its own inputs alone, wherever it stands and however many there are: odd ends go through the same vectors.

// sums[i] = left[i] + right[i]. `sums` may be `left` or `right`.
void lagoon_add(const float *left, const float *right, float *sums, size_t count);
void lagoon_add_scalar(const float *left, const float *right, float *sums, size_t count);

// products[i] = factor * elements[i]. `products` may be `elements`; both at any alignment.
void lagoon_scale(const float *elements, float factor, float *products, size_t count);
void lagoon_scale_scalar(const float *elements, float factor, float *products, size_t count);

// The sum of left[i] * right[i].
float lagoon_dot(const float *left, const float *right, size_t count);
float lagoon_dot_scalar(const float *left, const float *right, size_t count);

// Rounds to bf16, as lagoon_convert does, and back. `rounded` may be `elements`.
void lagoon_round_bf16(const float *elements, float *rounded, size_t count);
void lagoon_round_bf16_scalar(const float *elements, float *rounded, size_t count);

// output = s · input · weight with s = 1 / √(mean(input²) + epsilon), for each of `rows` rows of `width`
// elements. `output` may be `input`.
void lagoon_rms_norm(const float *input, const float *weight, float epsilon, size_t rows, size_t width,
                     float *output);
void lagoon_rms_norm_scalar(const float *input, const float *weight, float epsilon, size_t rows, size_t width,
                            float *output);

// With g = dOutput · weight: dInput += s · g − input · s³ · Σ(g · input) / width, and dWeight[c] += the sum over
// the rows, one after the other, of dOutput · input · s.
void lagoon_rms_norm_backward(const float *input, const float *weight, const float *dOutput, float epsilon,
                              size_t rows, size_t width, float *dInput, double *dWeight);
void lagoon_rms_norm_backward_scalar(const float *input, const float *weight, const float *dOutput,
                                     float epsilon, size_t rows, size_t width, float *dInput, double *dWeight);

// output = gate · σ(gate) · up, with σ(x) = 1 / (1 + exp(−x)). `output` may be `gate`.
void lagoon_swiglu(const float *gate, const float *up, float *output, size_t count);
void lagoon_swiglu_scalar(const float *gate, const float *up, float *output, size_t count);

// dGate = dOutput · up · σ · (1 + gate · (1 − σ)) and dUp = dOutput · gate · σ. `dUp` may be `dOutput`.
void lagoon_swiglu_backward(const float *gate, const float *up, const float *dOutput, float *dGate, float *dUp,
                            size_t count);
void lagoon_swiglu_backward_scalar(const float *gate, const float *up, const float *dOutput, float *dGate,
                                   float *dUp, size_t count);

// Turns the pairs (c, c + pairs) of each of `heads` heads of 2 · pairs channels by the angle whose cosine and
// sine stand in cosines[c] and sines[c]; the sine times `sign`, 1 or −1.
void lagoon_rotate(float *heads, size_t count, size_t pairs, const float *cosines, const float *sines,
                   float sign);
void lagoon_rotate_scalar(float *heads, size_t count, size_t pairs, const float *cosines, const float *sines,
                          float sign);

// Raises *peak to the largest of `count` logits, and returns Σ exp(logit − peak), in f64.
double lagoon_exponential_sum(const float *logits, size_t count, float *peak);
double lagoon_exponential_sum_scalar(const float *logits, size_t count, float *peak);

// logits[i] = scale · exp(logits[i] − logSumExp): probabilities, for a log-sum-exp of at least their own. 0 where
// the exponential is below 2e-38.
void lagoon_probabilities(float *logits, size_t count, double logSumExp, float scale);
void lagoon_probabilities_scalar(float *logits, size_t count, double logSumExp, float scale);

#ifdef __cplusplus
}
#endif

#endif

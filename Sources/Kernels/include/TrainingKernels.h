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

#ifdef __cplusplus
}
#endif

#endif

// Plain C interface to the compute kernels of Lagoon.
//
// Every kernel `lagoon_X` picks the widest SIMD code that the CPU runs; `lagoon_X_scalar` has the same
// signature and plain scalar code: the oracle in tests, and what to read first. Unless a comment says
// otherwise, pointers may have any alignment, regions of input and output may not overlap, and nothing
// here allocates, locks or keeps a pointer after it returns.
//
// Element types are given by code: LAGOON_F32, LAGOON_BF16, LAGOON_F16. Any other code is a programmer's
// error: conversions and checks then do nothing.
#ifndef LAGOON_KERNELS_H
#define LAGOON_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "TrainingKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  LAGOON_F32 = 0,   // IEEE binary32
  LAGOON_BF16 = 1,  // the upper half of a binary32
  LAGOON_F16 = 2,   // IEEE binary16
};

// The most channels a head may have; scoring keeps one row of this length on the stack.
#define LAGOON_MAX_HEAD_DIM 1024

// -- Conversions and checks (convert.cc) ---------------------------------------------------------------

// Converts `count` elements. Narrowing rounds to nearest, ties to even; what is too large becomes infinity
// of its sign; NaN stays NaN. bf16 and f16 convert into each other through f32.
void lagoon_convert(const void *source, uint8_t sourceType, void *destination, uint8_t destinationType,
                    size_t count);
void lagoon_convert_scalar(const void *source, uint8_t sourceType, void *destination,
                           uint8_t destinationType, size_t count);

// The index of the first element that is NaN or infinite, or -1.
ptrdiff_t lagoon_first_nonfinite(const void *elements, uint8_t type, size_t count);
ptrdiff_t lagoon_first_nonfinite_scalar(const void *elements, uint8_t type, size_t count);

// -- Moving rows and bytes (planes.cc) -----------------------------------------------------------------

// destination[i] = source[rows[i] - first] for rows of `rowBytes` bytes; rows[i] ≥ first.
void lagoon_gather_rows(const void *source, size_t rowBytes, const uint32_t *rows, size_t count, uint32_t first,
                        void *destination);
void lagoon_gather_rows_scalar(const void *source, size_t rowBytes, const uint32_t *rows, size_t count,
                               uint32_t first, void *destination);

// Byte b of element i moves to destination[b * count + i]: equal-meaning bytes lie together and compress
// better. `lagoon_join_planes` is the inverse.
void lagoon_split_planes(const void *source, size_t elementBytes, size_t count, void *destination);
void lagoon_split_planes_scalar(const void *source, size_t elementBytes, size_t count, void *destination);
void lagoon_join_planes(const void *source, size_t elementBytes, size_t count, void *destination);
void lagoon_join_planes_scalar(const void *source, size_t elementBytes, size_t count, void *destination);

// -- Scoring (scoring.cc) ------------------------------------------------------------------------------
//
// These give the same bits on every CPU and in their scalar twins. Sums over n terms are defined so: 16
// lanes, lane i adds the terms i, i + 16, i + 32, … in that order starting from +0; then lane i adds lane
// i + 8, then i + 4, i + 2, i + 1. Products and sums are rounded separately, never fused. Elements are
// finite (the store refuses others); 1 ≤ headDim ≤ LAGOON_MAX_HEAD_DIM.

// Some rows [count, headDim], contiguous, at any alignment.
typedef struct {
  const void *rows;
  size_t count;
} lagoon_row_run;

// Folds the rows of the runs into the running per-channel range. Start from minimum = +infinity and
// maximum = -infinity. A zero is +0.
void lagoon_channel_range(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim,
                          float *minimum, float *maximum);
void lagoon_channel_range_scalar(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim,
                                 float *minimum, float *maximum);

// deviations[t], for every row t of the runs in their order, = the standard deviation over the channels of (x - minimum) / (maximum - minimum), unbiased
// (n - 1); 0 where headDim is 1. A channel whose maximum equals its minimum counts as 0. Two passes: the
// mean, then the squares of the differences. Normalised values are clamped to ±1e15, so that the result
// stays finite even where the reference's range is next to nothing. `next` are rows of the same size that another call will read, a
// hint: they are fetched meanwhile.
void lagoon_normalised_std(const lagoon_row_run *runs, size_t runCount, const lagoon_row_run *next, size_t nextCount,
                           uint8_t type, size_t headDim, const float *minimum, const float *maximum,
                           float *deviations);
void lagoon_normalised_std_scalar(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim,
                                  const float *minimum, const float *maximum, float *deviations);

// scores[i] += weight * softmax(x)[i] over `count` finite values. `x` becomes exp(x - max(x)).
void lagoon_add_softmax(float *x, size_t count, float weight, float *scores);
void lagoon_add_softmax_scalar(float *x, size_t count, float weight, float *scores);

// sums[t] = the sum of squares of row t: the order of L2 norms without the square root's ties.
void lagoon_square_sums(const void *rows, uint8_t type, size_t count, size_t headDim, float *sums);
void lagoon_square_sums_scalar(const void *rows, uint8_t type, size_t count, size_t headDim, float *sums);

// -- Selection (selection.cc) --------------------------------------------------------------------------

// positions[0 ..< keep] = where the `keep` highest of `count` finite scores stand, ascending; of equal scores the
// lower position first. keep ≤ count; `scratch` has `count` elements.
void lagoon_select_highest(const float *scores, size_t count, size_t keep, uint32_t *positions,
                           int32_t *scratch);
void lagoon_select_highest_scalar(const float *scores, size_t count, size_t keep, uint32_t *positions,
                                  int32_t *scratch);

// -- Attention (attention.cc) --------------------------------------------------------------------------

// Rows of the queries of one KV head and what has been accumulated for them. Row i belongs to query
// i / group and to the KV head's query head i % group, so the query heads of one KV head lie together and
// share every load of a key. Rows of `queries` and `weighted` are `lagoon_padded_dim(headDim)` floats
// apart and 64-byte aligned; the padding of `queries` is zero.
typedef struct {
  const float *queries;    // [rows, padded], f32
  float *weighted;         // [rows, padded]: sum of exp(logit - maximum) * value; start from 0
  float *maximum;          // [rows]: largest logit seen; start from -infinity
  float *sum;              // [rows]: sum of exp(logit - maximum); start from 0
  size_t rows;
  size_t group;            // query heads per KV head
  size_t headDim;          // 1 … LAGOON_MAX_HEAD_DIM
  int64_t firstPosition;   // position of query 0; query n stands at firstPosition + n
  float scale;             // logits are scale * (query · key)
  const uint16_t *narrow;  // [rows, padded], 64-byte aligned: the same queries in bf16, which has all their numbers; or null
} lagoon_query_rows;

// The `firstPosition` of keys that every query sees.
#define LAGOON_VISIBLE_TO_ALL INT64_MIN

// headDim rounded up to 16 floats: the distance between the rows of a lagoon_query_rows.
size_t lagoon_padded_dim(size_t headDim);

// How many floats of scratch `lagoon_attend` and `lagoon_attend_q8` need for up to `rows` query rows, 64-byte aligned.
size_t lagoon_attention_scratch(size_t headDim, size_t rows);

// Some key and value rows [count, headDim] of one KV head, each contiguous, at any alignment. Key r stands at
// firstPosition + r and is seen by queries at that position or later; with LAGOON_VISIBLE_TO_ALL by all.
typedef struct {
  const void *keys;
  const void *values;
  size_t count;
  int64_t firstPosition;
} lagoon_key_run;

#define LAGOON_KEY_TILE 64

// Adds the rows of `runs`, in that order, to the running attention of the query rows. Elements are finite, also
// those that no row sees. f32 accumulation.
//
// Keys are taken in tiles of LAGOON_KEY_TILE: counted from the first of a run that has positions, and on from run to run where all
// queries see them. A query row's arithmetic does not depend on the other rows, so neither do its bits; they do depend on
// the target. A finished row has out = weighted / sum and log-sum-exp = maximum + log(sum); a row that saw no key
// keeps its start. `next` are runs of the same type that another call will read, a hint: their first tile is fetched
// meanwhile.
//
// Queries and keys of bf16 are multiplied by the CPU's own instruction for that (AVX512-BF16), if it has it and rows
// are a multiple of 32 long. Products are exact either way; subnormals count as 0 there.
void lagoon_attend(const lagoon_query_rows *rows, const lagoon_key_run *runs, size_t runCount,
                   const lagoon_key_run *next, size_t nextCount, uint8_t type, float *scratch);
void lagoon_attend_scalar(const lagoon_query_rows *rows, const lagoon_key_run *runs, size_t runCount,
                          uint8_t type, float *scratch);

// Merges what has been accumulated for the same query rows over other keys, `from`, into `rows`: as if `rows` had seen those
// keys too, but for rounding. Both have the same `rows` and `headDim`; nothing else is looked at but what has been accumulated.
void lagoon_merge_attention(const lagoon_query_rows *rows, const lagoon_query_rows *from);
void lagoon_merge_attention_scalar(const lagoon_query_rows *rows, const lagoon_query_rows *from);

// -- Rows of 8 bits (q8.cc, attention_q8.cc) -----------------------------------------------------------

// Some rows of one KV head, 8 bits an element: x ≈ zero + scale * code, keys with a zero and a scale for each channel, values for
// each row (KIVI, arXiv 2402.02750). A block is [headDim] zeros and [headDim] scales of the keys, [rows] zeros and [rows] scales of
// the values, all bf16, then the codes of the keys and of the values, i8 [rows, headDim] each; nothing is aligned.
//
// Zeros are the middle of the range and scales are rounded up, so an element is off by half a scale at most, and a channel or row of
// one value that bf16 can hold by nothing. The bits of a block depend on its rows alone.
size_t lagoon_q8_bytes(size_t rows, size_t headDim);

// Rows are [rows, headDim] of `type`, contiguous, finite.
void lagoon_q8_pack(const void *keys, const void *values, uint8_t type, size_t rows, size_t headDim, void *block);
void lagoon_q8_unpack(const void *block, size_t rows, size_t headDim, uint8_t type, void *keys, void *values);

typedef struct {
  const void *block;
  size_t count;  // rows
} lagoon_q8_run;

// As `lagoon_attend`, over blocks of 8-bit rows, which every query sees: tiles go on from block to block.
void lagoon_attend_q8(const lagoon_query_rows *rows, const lagoon_q8_run *runs, size_t runCount, float *scratch);
void lagoon_attend_q8_scalar(const lagoon_query_rows *rows, const lagoon_q8_run *runs, size_t runCount,
                             float *scratch);

// -- Attention, backward (attention_backward.cc) -------------------------------------------------------

// What the gradients of the queries of one KV head start from, and where they accumulate. Rows are those of
// lagoon_query_rows, padded and 64-byte aligned alike. With q the queries as given here, scale included:
//
//   P = exp(q kᵀ - lse)    dP = dOut vᵀ    dS = P * (dP - delta)
//   dq += dS k             dk += dSᵀ q     dv += Pᵀ dOut
//
// So dk needs no more scaling, and dq is the gradient of the scaled queries: multiplied by the scale, once
// and at the end, it is that of the queries themselves.
typedef struct {
  const float *queries;    // [rows, padded], f32, already multiplied by the scale; the padding is zero
  const float *dOut;       // [rows, padded]: gradient of the output; the padding is zero
  const float *logSumExp;  // [rows]: over all keys that the row sees, in this call or another
  const float *delta;      // [rows]: sum of dOut * out over the channels, minus the gradient of logSumExp
  float *dQueries;         // [rows, padded]: start from 0
  size_t rows;
  size_t group;            // query heads per KV head
  size_t headDim;          // 1 … LAGOON_MAX_HEAD_DIM
  int64_t firstPosition;   // position of query 0; query n stands at firstPosition + n
  float scale;             // `queries` are scale times those of `narrow`
  const uint16_t *narrow;  // [rows, padded], 64-byte aligned: the queries in bf16, not multiplied; or null
} lagoon_query_gradient_rows;

// How many floats of scratch `lagoon_attend_backward` needs, 64-byte aligned.
size_t lagoon_attention_backward_scratch(size_t headDim);

// Some key and value rows as in a lagoon_key_run, and where their gradients accumulate: f32 [count, headDim], each contiguous, at any
// alignment; both null: those are not wanted, and where they are those of no row of a tile, their work is spared.
typedef struct {
  const void *keys;
  const void *values;
  size_t count;
  int64_t firstPosition;
  float *dKeys;
  float *dValues;
} lagoon_gradient_run;

// Adds the share of the rows of `runs`, in that order, to the gradients: to rows->dQueries, and to the runs' own. Which keys a row
// sees is as in `lagoon_attend`. Calls over parts of the keys add up to a call over all of them, since logSumExp and
// delta are those of the whole. A row whose logSumExp is -infinity saw no key and adds nothing, whatever its
// delta. Elements are finite, also those that no row sees. f32 accumulation. The scalar twin needs no
// scratch.
//
// P is at most 1: a logit that rounding puts above the log-sum-exp counts as equal. Where P is below 2e-38 it
// is 0, and the pair of row and key adds nothing.
//
// The order of summation is fixed: within a block of 48 query rows counted from row 0 (dKeys, dValues), or a
// tile of 64 keys (dQueries; tiles are those of `lagoon_attend`), one term after the other; then block after
// block, tile after tile. So a key's dKeys and dValues depend neither on the other keys of the call nor on
// how keys are cut into calls; a row's dQueries depend on that cut, but not on the other rows. Bits depend on
// the target.
void lagoon_attend_backward(const lagoon_query_gradient_rows *rows, const lagoon_gradient_run *runs,
                            size_t runCount, uint8_t type, float *scratch);
void lagoon_attend_backward_scalar(const lagoon_query_gradient_rows *rows, const lagoon_gradient_run *runs,
                                   size_t runCount, uint8_t type, float *scratch);

// -- Targets (targets.cc) ------------------------------------------------------------------------------

// The name of the SIMD target in use on this thread, for example "AVX2"; "AVX3+BF16": and the CPU's products of bf16.
const char *lagoon_target_name(void);

// For tests: how many targets are compiled in and run on this CPU, and which of them this thread uses from
// now on (0 is the widest; -1 goes back to choosing). Other threads are not affected.
int lagoon_target_count(void);
void lagoon_set_thread_target(int index);

#ifdef __cplusplus
}
#endif

#endif

// Scalar twin of attention.cc: the same tiles and the same online softmax, one element at a time.
#include "attention.h"

#include <cmath>

using namespace lagoon;

extern "C" void lagoon_attend_scalar(const lagoon_query_rows *rows, const void *keys, const void *values,
                                     uint8_t type, size_t count, int64_t firstPosition, float *scratch) {
  const size_t dim = rows->headDim;
  const size_t padded = lagoon_padded_dim(dim);
  float *logits = scratch;             // [kKeyTile]
  float *partial = scratch + kKeyTile; // [headDim]
  for (size_t i = 0; i < rows->rows; ++i) {
    const float *query = rows->queries + i * padded;
    float *weighted = rows->weighted + i * padded;
    const size_t visible = VisibleKeys(*rows, i, count, firstPosition);
    for (size_t first = 0; first < visible; first += kKeyTile) {
      const size_t tile = visible - first < kKeyTile ? visible - first : kKeyTile;
      float largest = rows->maximum[i];
      for (size_t r = 0; r < tile; ++r) {
        float logit = 0;
        for (size_t c = 0; c < dim; ++c) {
          logit += query[c] * LoadElement(keys, type, (first + r) * dim + c);
        }
        logits[r] = logit;
        if (logit > largest) largest = logit;
      }
      const float decay = std::exp(rows->maximum[i] - largest);
      float sum = 0;
      for (size_t c = 0; c < dim; ++c) partial[c] = 0;
      for (size_t r = 0; r < tile; ++r) {
        const float weight = std::exp(logits[r] - largest);
        sum += weight;
        for (size_t c = 0; c < dim; ++c) {
          partial[c] += weight * LoadElement(values, type, (first + r) * dim + c);
        }
      }
      rows->maximum[i] = largest;
      rows->sum[i] = rows->sum[i] * decay + sum;
      for (size_t c = 0; c < dim; ++c) weighted[c] = weighted[c] * decay + partial[c];
    }
  }
}

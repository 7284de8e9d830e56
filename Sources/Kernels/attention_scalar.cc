// Scalar twin of attention.cc: the same tiles and the same online softmax, one element at a time.
#include "attention.h"

#include <cmath>

namespace lagoon {
namespace {

void AttendRow(const lagoon_query_rows &rows, size_t row, const Tile &tile, uint8_t type, float *scratch) {
  const size_t visible = VisibleKeys(rows, row, tile.count, tile.firstPosition);
  if (visible == 0) return;
  const size_t dim = rows.headDim;
  const size_t padded = lagoon_padded_dim(dim);
  const float *query = rows.queries + row * padded;
  float *weighted = rows.weighted + row * padded;
  float *logits = scratch;              // [kKeyTile]
  float *partial = scratch + kKeyTile;  // [headDim]
  float largest = rows.maximum[row];
  for (size_t r = 0; r < visible; ++r) {
    float logit = 0;
    for (size_t c = 0; c < dim; ++c) logit += query[c] * LoadElement(tile.keys[r], type, c);
    logits[r] = logit;
    if (logit > largest) largest = logit;
  }
  const float decay = std::exp(rows.maximum[row] - largest);
  float sum = 0;
  for (size_t c = 0; c < dim; ++c) partial[c] = 0;
  for (size_t r = 0; r < visible; ++r) {
    const float weight = std::exp(logits[r] - largest);
    sum += weight;
    for (size_t c = 0; c < dim; ++c) partial[c] += weight * LoadElement(tile.values[r], type, c);
  }
  rows.maximum[row] = largest;
  rows.sum[row] = rows.sum[row] * decay + sum;
  for (size_t c = 0; c < dim; ++c) weighted[c] = weighted[c] * decay + partial[c];
}

}  // namespace
}  // namespace lagoon

extern "C" void lagoon_attend_scalar(const lagoon_query_rows *rows, const lagoon_key_run *runs,
                                     size_t runCount, uint8_t type, float *scratch) {
  using namespace lagoon;
  TileCursor cursor(runs, runCount, rows->headDim * ElementBytes(type));
  Tile tile;
  for (cursor.Next(tile); tile.count > 0; cursor.Next(tile)) {
    for (size_t row = 0; row < rows->rows; ++row) AttendRow(*rows, row, tile, type, scratch);
  }
}

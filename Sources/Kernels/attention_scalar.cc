// Scalar twin of attention.cc: the same tiles and the same online softmax, one element at a time.
#include "attention.h"
#include "q8.h"

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
    logits[r] = rows.scale * logit;
    if (logits[r] > largest) largest = logits[r];
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

extern "C" void lagoon_merge_attention_scalar(const lagoon_query_rows *rows, const lagoon_query_rows *from) {
  const size_t padded = lagoon_padded_dim(rows->headDim);
  for (size_t row = 0; row < rows->rows; ++row) {
    if (from->sum[row] == 0) continue;  // it saw nothing
    const float largest = std::fmax(rows->maximum[row], from->maximum[row]);
    const float ours = std::exp(rows->maximum[row] - largest);
    const float theirs = std::exp(from->maximum[row] - largest);
    rows->maximum[row] = largest;
    rows->sum[row] = rows->sum[row] * ours + from->sum[row] * theirs;
    float *weighted = rows->weighted + row * padded;
    const float *added = from->weighted + row * padded;
    for (size_t c = 0; c < padded; ++c) weighted[c] = weighted[c] * ours + added[c] * theirs;
  }
}

extern "C" void lagoon_attend_q8_scalar(const lagoon_query_rows *rows, const lagoon_q8_run *runs,
                                        size_t runCount, float *scratch) {
  using namespace lagoon;
  const size_t dim = rows->headDim;
  float *keys = scratch + 2 * kKeyTile + dim;  // behind AttendRow's
  float *values = keys + kKeyTile * dim;
  Tile tile;
  tile.count = 0;
  tile.firstPosition = LAGOON_VISIBLE_TO_ALL;
  const auto attend = [&] {
    for (size_t row = 0; row < rows->rows; ++row) AttendRow(*rows, row, tile, LAGOON_F32, scratch);
    tile.count = 0;
  };
  for (size_t i = 0; i < runCount; ++i) {
    const Q8Block block(runs[i].block, runs[i].count, dim);
    for (size_t r = 0; r < runs[i].count; ++r) {
      float *key = keys + tile.count * dim;
      float *value = values + tile.count * dim;
      for (size_t c = 0; c < dim; ++c) {
        key[c] = block.Key(r, c, dim);
        value[c] = block.Value(r, c, dim);
      }
      tile.keys[tile.count] = reinterpret_cast<const uint8_t *>(key);
      tile.values[tile.count++] = reinterpret_cast<const uint8_t *>(value);
      if (tile.count == kKeyTile) attend();
    }
  }
  if (tile.count > 0) attend();
}

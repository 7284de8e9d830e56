// What attention.cc, attention_backward.cc and their scalar twins share: the tile, and which keys a query row
// sees.
#pragma once

#include <cmath>

#include "elements.h"

namespace lagoon {

constexpr size_t kKeyTile = LAGOON_KEY_TILE;
constexpr size_t kRowAlign = 16;  // floats: the widest vector
constexpr size_t kRowBlock = 48;  // query rows whose terms of dKeys and dValues are summed together

// Floats of the weights of `rows` query rows for a tile and of what their earlier sums are multiplied by, in whole vectors; those of two
// rows at least, for the scalar twins.
inline size_t AttentionWork(size_t rows) {
  return ((rows > 2 ? rows : 2) * (kKeyTile + 1) + kRowAlign - 1) / kRowAlign * kRowAlign;
}

// How many of `count` keys from firstPosition on the query row sees: always the first ones. Rows are a
// lagoon_query_rows or a lagoon_query_gradient_rows.
template <class Rows>
inline size_t VisibleKeys(const Rows &rows, size_t row, size_t count, int64_t firstPosition) {
  if (firstPosition == LAGOON_VISIBLE_TO_ALL) return count;
  const int64_t position = rows.firstPosition + static_cast<int64_t>(row / rows.group);
  if (position < firstPosition) return 0;
  const uint64_t visible = static_cast<uint64_t>(position - firstPosition) + 1;
  return visible < count ? static_cast<size_t>(visible) : count;
}

// Up to kKeyTile keys, with their values.
struct Tile {
  const uint8_t *keys[kKeyTile];
  const uint8_t *values[kKeyTile];
  size_t count;
  int64_t firstPosition;  // of the first key, or LAGOON_VISIBLE_TO_ALL
};

// Cuts runs into tiles. A tile goes on with the next run where every query sees both, or where its positions follow: so how rows are cut into
// runs makes no difference. Run is a lagoon_key_run or a lagoon_gradient_run.
template <class Run>
class RunCursor {
 public:
  RunCursor(const Run *runs, size_t count, size_t rowBytes) : run_(runs), end_(runs + count), rowBytes_(rowBytes) {}

  // Fills `tile` with what comes next; its count is 0 at the end. `note` gets the run and the row of it that each row of the tile is.
  template <class Note>
  void Next(Tile &tile, const Note &note) {
    tile.count = 0;
    for (; run_ != end_ && tile.count < kKeyTile; ++run_, row_ = 0) {
      const bool toAll = run_->firstPosition == LAGOON_VISIBLE_TO_ALL;
      const int64_t position = run_->firstPosition + (toAll ? 0 : static_cast<int64_t>(row_));
      if (tile.count == 0) tile.firstPosition = position;
      const bool tileToAll = tile.firstPosition == LAGOON_VISIBLE_TO_ALL;
      const int64_t behind = tile.firstPosition + (tileToAll ? 0 : static_cast<int64_t>(tile.count));
      if (toAll != tileToAll || position != behind) return;
      const uint8_t *key = static_cast<const uint8_t *>(run_->keys) + row_ * rowBytes_;
      const uint8_t *value = static_cast<const uint8_t *>(run_->values) + row_ * rowBytes_;
      const size_t left = run_->count - row_;
      const size_t rows = left < kKeyTile - tile.count ? left : kKeyTile - tile.count;
      for (size_t i = 0; i < rows; ++i) note(*run_, row_ + i, tile.count + i);
      for (size_t i = 0; i < rows; ++i) {
        tile.keys[tile.count + i] = key + i * rowBytes_;
        tile.values[tile.count + i] = value + i * rowBytes_;
      }
      row_ += rows;
      tile.count += rows;
      if (row_ < run_->count) return;
    }
  }
  void Next(Tile &tile) {
    Next(tile, [](const Run &, size_t, size_t) {});
  }

 private:
  const Run *run_;
  const Run *end_;
  size_t rowBytes_;
  size_t row_ = 0;
};

using TileCursor = RunCursor<lagoon_key_run>;
using GradientCursor = RunCursor<lagoon_gradient_run>;

}  // namespace lagoon

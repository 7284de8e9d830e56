// What attention.cc, attention_backward.cc and their scalar twins share: the tile, and which keys a query row
// sees.
#pragma once

#include <cmath>

#include "elements.h"

namespace lagoon {

constexpr size_t kKeyTile = 64;   // keys per tile, counted from the first key of the call
constexpr size_t kRowAlign = 16;  // floats: the widest vector
constexpr size_t kRowBlock = 48;  // query rows whose terms of dKeys and dValues are summed together

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

}  // namespace lagoon

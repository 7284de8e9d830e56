// What attention.cc and its scalar twin share: the tile, and which keys a query row sees.
#pragma once

#include "elements.h"

namespace lagoon {

constexpr size_t kKeyTile = 64;   // keys per tile, counted from the first key of the call
constexpr size_t kRowAlign = 16;  // floats: the widest vector

// How many of `count` keys from firstPosition on the query row sees: always the first ones.
inline size_t VisibleKeys(const lagoon_query_rows &rows, size_t row, size_t count, int64_t firstPosition) {
  if (firstPosition == LAGOON_VISIBLE_TO_ALL) return count;
  const int64_t position = rows.firstPosition + static_cast<int64_t>(row / rows.group);
  if (position < firstPosition) return 0;
  const uint64_t visible = static_cast<uint64_t>(position - firstPosition) + 1;
  return visible < count ? static_cast<size_t>(visible) : count;
}

}  // namespace lagoon

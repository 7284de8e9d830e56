// What selection.cc and its scalar twin share: all but the counting.
#pragma once

#include <climits>

#include "elements.h"

namespace lagoon {

// Ascends with the value; +0 and -0 are equal.
inline int32_t OrderOf(float value) {
  const uint32_t bits = BitsFromFloat(value + 0.0f);  // -0 + 0 is +0
  return static_cast<int32_t>(bits >> 31 ? bits ^ 0x7FFFFFFF : bits);
}

template <class CountAtLeast>
inline void SelectHighest(const float *scores, size_t count, size_t keep, uint32_t *positions, int32_t *order,
                          CountAtLeast countAtLeast) {
  if (keep == 0 || keep > count) return;
  for (size_t i = 0; i < count; ++i) order[i] = OrderOf(scores[i]);
  // The keep-th highest: the largest limit that `keep` reach, from its highest bit down.
  int32_t limit = countAtLeast(order, count, 0) >= keep ? 0 : INT_MIN;
  for (int bit = 30; bit >= 0; --bit) {
    const int32_t higher = limit | static_cast<int32_t>(uint32_t{1} << bit);
    if (countAtLeast(order, count, higher) >= keep) limit = higher;
  }
  // Of those that are equal to it, the first.
  const size_t above = limit == INT_MAX ? 0 : countAtLeast(order, count, limit + 1);
  size_t equal = keep - above;
  size_t found = 0;
  for (size_t i = 0; found < keep; ++i) {
    const bool isEqual = order[i] == limit && equal > 0;
    if (!(order[i] > limit || isEqual)) continue;
    equal -= isEqual;
    positions[found++] = static_cast<uint32_t>(i);
  }
}

}  // namespace lagoon

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

struct Extremes {
  int32_t least = INT_MAX;
  int32_t most = INT_MIN;

  void Include(int32_t order) {
    least = order < least ? order : least;
    most = order > most ? order : most;
  }
};

// `orderAll` writes the order of all scores and returns its extremes; `countAtLeast` counts those at or above a limit.
template <class OrderAll, class CountAtLeast>
inline void SelectHighest(const float *scores, size_t count, size_t keep, uint32_t *positions, int32_t *order,
                          OrderAll orderAll, CountAtLeast countAtLeast) {
  if (keep == 0 || keep > count) return;
  const Extremes extremes = orderAll(scores, count, order);
  // The keep-th highest: the largest limit that `keep` reach, from the highest bit down in which scores differ. As soon as no
  // more than `keep` reach one, it parts the scores as well as the largest would.
  const uint32_t differing = static_cast<uint32_t>(extremes.least ^ extremes.most);
  int bits = differing == 0 ? 0 : 32 - __builtin_clz(differing);
  int32_t limit = bits < 32 ? extremes.least >> bits << bits : INT_MIN;
  size_t reaching = count;
  while (bits > 0 && reaching > keep) {
    --bits;
    const int32_t higher = bits == 31 ? 0 : limit | static_cast<int32_t>(uint32_t{1} << bits);
    const size_t found = countAtLeast(order, count, higher);
    if (found < keep) continue;
    limit = higher;
    reaching = found;
  }
  // Of those that are equal to it, the last are left out. No number has the lowest order.
  size_t surplus = reaching - keep;
  for (size_t i = count; surplus > 0;) {
    --i;
    if (order[i] != limit) continue;
    order[i] = INT_MIN;
    --surplus;
  }
  // Without branches, which no CPU would foresee.
  for (size_t i = 0, found = 0; found < keep; ++i) {
    positions[found] = static_cast<uint32_t>(i);
    found += order[i] >= limit;
  }
}

}  // namespace lagoon

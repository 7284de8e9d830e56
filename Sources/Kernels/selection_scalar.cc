// Scalar twin of selection.cc: the same search, counting one by one.
#include "selection.h"

namespace {

size_t CountAtLeast(const int32_t *order, size_t count, int32_t limit) {
  size_t found = 0;
  for (size_t i = 0; i < count; ++i) found += order[i] >= limit;
  return found;
}

lagoon::Extremes OrderAll(const float *scores, size_t count, int32_t *order) {
  lagoon::Extremes extremes;
  for (size_t i = 0; i < count; ++i) extremes.Include(order[i] = lagoon::OrderOf(scores[i]));
  return extremes;
}

}  // namespace

extern "C" void lagoon_select_highest_scalar(const float *scores, size_t count, size_t keep,
                                             uint32_t *positions, int32_t *scratch) {
  lagoon::SelectHighest(scores, count, keep, positions, scratch, OrderAll, CountAtLeast);
}

// The highest of some scores, without sorting: the lowest score that is still kept is found bit by bit, each by counting how
// many are at least as high; then one walk picks them.
#include "selection.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "selection.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

size_t CountAtLeast(const int32_t *order, size_t count, int32_t limit) {
  const hn::RebindToSigned<F32> d;
  const auto limits = hn::Set(d, limit);
  size_t below = 0;
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) below += hn::CountTrue(d, hn::Lt(hn::LoadU(d, order + i), limits));
  size_t found = i - below;
  for (; i < count; ++i) found += order[i] >= limit;
  return found;
}

Extremes OrderAll(const float *scores, size_t count, int32_t *order) {
  const F32 df;
  const hn::RebindToSigned<F32> d;
  auto least = hn::Set(d, INT_MAX);
  auto most = hn::Set(d, INT_MIN);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    // -0 + 0 is +0; the bits of negative numbers descend.
    const auto bits = hn::BitCast(d, hn::Add(hn::LoadU(df, scores + i), hn::Zero(df)));
    const auto ordered = hn::Xor(bits, hn::And(hn::ShiftRight<31>(bits), hn::Set(d, INT_MAX)));
    hn::StoreU(ordered, d, order + i);
    least = hn::Min(least, ordered);
    most = hn::Max(most, ordered);
  }
  Extremes extremes{hn::GetLane(hn::MinOfLanes(d, least)), hn::GetLane(hn::MaxOfLanes(d, most))};
  for (; i < count; ++i) extremes.Include(order[i] = OrderOf(scores[i]));
  return extremes;
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(CountAtLeast);
HWY_EXPORT(OrderAll);
}  // namespace lagoon

extern "C" void lagoon_select_highest(const float *scores, size_t count, size_t keep, uint32_t *positions,
                                      int32_t *scratch) {
  using namespace lagoon;
  SelectHighest(scores, count, keep, positions, scratch, LAGOON_DISPATCH(OrderAll),
                LAGOON_DISPATCH(CountAtLeast));
}
#endif

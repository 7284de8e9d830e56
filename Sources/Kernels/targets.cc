// Which SIMD target runs.
#include "attention.h"
#include "dispatch.h"
#include "hwy/highway.h"

namespace lagoon {
namespace {

// A target of HWY_TARGETS that a test has set for this thread, or 0.
thread_local int64_t forcedTarget = 0;

int64_t BestTarget() {
  const int64_t targets = hwy::SupportedTargets() & HWY_TARGETS;
  return targets & -targets;  // a lower bit is a better target
}

}  // namespace

size_t TargetIndex() {
  if (HWY_LIKELY(forcedTarget == 0)) return hwy::GetChosenTarget().GetIndex();
  hwy::ChosenTarget forced;
  forced.Update(forcedTarget);
  return forced.GetIndex();
}

}  // namespace lagoon

extern "C" {

const char *lagoon_target_name(void) {
  return hwy::TargetName(lagoon::forcedTarget ? lagoon::forcedTarget : lagoon::BestTarget());
}

int lagoon_target_count(void) { return static_cast<int>(hwy::SupportedAndGeneratedTargets().size()); }

void lagoon_set_thread_target(int index) {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  const bool given = index >= 0 && static_cast<size_t>(index) < targets.size();
  lagoon::forcedTarget = given ? targets[static_cast<size_t>(index)] : 0;
}

}  // extern "C"

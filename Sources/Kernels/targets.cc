// Which SIMD target runs.
#include <string>

#include "attention.h"
#include "dispatch.h"
#include "hwy/highway.h"

namespace lagoon {
namespace {

// A target of HWY_TARGETS that a test has set for this thread, or 0.
thread_local int64_t forcedTarget = 0;
// Likewise: nothing but the target's own instructions.
thread_local bool isTargetAlone = false;

bool CPUHasNarrowProducts() {
#if HWY_ARCH_X86
  static const bool has = hwy::SupportedTargets() & HWY_AVX3 && __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

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

bool HasNarrowProducts() { return CPUHasNarrowProducts() && !isTargetAlone; }

}  // namespace lagoon

extern "C" {

const char *lagoon_target_name(void) {
  using namespace lagoon;
  const int64_t target = forcedTarget ? forcedTarget : BestTarget();
  if (target == BestTarget() && HasNarrowProducts()) {
    static const std::string name = std::string(hwy::TargetName(target)) + "+BF16";
    return name.c_str();
  }
  return hwy::TargetName(target);
}

// The best target counts twice where the CPU has more than it asks for: with that, and without.
int lagoon_target_count(void) {
  return static_cast<int>(hwy::SupportedAndGeneratedTargets().size()) + (lagoon::CPUHasNarrowProducts() ? 1 : 0);
}

void lagoon_set_thread_target(int index) {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  lagoon::isTargetAlone = index > 0;
  if (index > 0 && lagoon::CPUHasNarrowProducts()) --index;
  const bool given = index >= 0 && static_cast<size_t>(index) < targets.size();
  lagoon::forcedTarget = given ? targets[static_cast<size_t>(index)] : 0;
}

}  // extern "C"

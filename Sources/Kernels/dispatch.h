// How the kernels choose their SIMD target. Included before Highway, and by its users after it.
#pragma once

#include <cstddef>

// Vectors of a length unknown to the compiler can't be kept in arrays, as the 16 lanes of scoring are. Such
// CPUs run their fixed-length target.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

namespace lagoon {

// This thread's index into Highway's tables: the chosen target, or the one that a test has set.
size_t TargetIndex();

// Whether the CPU multiplies pairs of bf16 (AVX512-BF16), which none of the targets of the Highway that Debian has asks for, and this
// thread may use that.
bool HasNarrowProducts();

}  // namespace lagoon

// HWY_DYNAMIC_DISPATCH with a choice per thread, so that a test that walks the targets leaves the tests
// beside it alone. With one target compiled in, its table has the one entry.
#define LAGOON_DISPATCH(FUNCTION) \
  (*(HWY_DISPATCH_TABLE(FUNCTION)[(HWY_TARGETS & (HWY_TARGETS - 1)) == 0 ? 0 : lagoon::TargetIndex()]))

#include "CAllocationCount.h"

#include <errno.h>
#include <features.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LAGOON_SANITIZED 1
#endif
#endif

#if defined(__GLIBC__) && !defined(LAGOON_SANITIZED)

// The allocator behind malloc's name, which a program may take (the C library's manual: "Replacing malloc").
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Thread_local bool counting;
static _Thread_local lagoon_allocations counted;

static void count(size_t bytes) {
  if (!counting) return;
  counted.calls += 1;
  counted.bytes += bytes;
}

void *malloc(size_t bytes) {
  count(bytes);
  return __libc_malloc(bytes);
}

void *calloc(size_t count_, size_t bytes) {
  count(count_ * bytes);
  return __libc_calloc(count_, bytes);
}

void *realloc(void *old, size_t bytes) {
  count(bytes);
  return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
  count(bytes);
  return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void **place, size_t alignment, size_t bytes) {
  void *memory = memalign(alignment, bytes);
  if (memory == NULL) return ENOMEM;
  *place = memory;
  return 0;
}

bool lagoon_can_count_allocations(void) { return true; }

void lagoon_count_allocations(void) {
  counted = (lagoon_allocations){0, 0};
  counting = true;
}

lagoon_allocations lagoon_counted_allocations(void) {
  counting = false;
  return counted;
}

#else

bool lagoon_can_count_allocations(void) { return false; }
void lagoon_count_allocations(void) {}
lagoon_allocations lagoon_counted_allocations(void) { return (lagoon_allocations){0, 0}; }

#endif

#pragma once
#include <stdbool.h>
#include <stddef.h>

/// What one thread allocated while it counted.
typedef struct {
  size_t calls;
  size_t bytes;
} lagoon_allocations;

/// Whether this build can count: not beside a sanitizer, which stands in for malloc itself, and not without glibc.
bool lagoon_can_count_allocations(void);

/// Starts counting the calling thread's allocations, from 0.
void lagoon_count_allocations(void);

/// Ends counting.
lagoon_allocations lagoon_counted_allocations(void);

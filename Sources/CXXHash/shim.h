#pragma once
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#if defined(__x86_64__)
// That for the CPU's widest vectors, from <xxh_x86dispatch.h>, with the same hashes: the plain one has SSE2's. Null where the library
// was built without it.
XXH_errorcode XXH3_64bits_update_dispatch(XXH3_state_t *state, const void *input, size_t length) __attribute__((weak));
#endif

/// As `XXH3_64bits_update`, as fast as the CPU can.
static inline void lagoon_hash_update(XXH3_state_t *state, const void *input, size_t length) {
#if defined(__x86_64__)
  if (XXH3_64bits_update_dispatch != NULL) {
    XXH3_64bits_update_dispatch(state, input, length);
    return;
  }
#endif
  XXH3_64bits_update(state, input, length);
}

/// The rolling hash of token ids: h' = XXH3_64bits_withSeed(id as four little-endian bytes, seed h), id by id, so it depends
/// on the ids alone and not on how they were cut. The empty text's hash is 0.
static inline uint64_t lagoon_token_hash(uint64_t hash, const uint32_t *ids, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const uint32_t id = ids[i];
    const unsigned char bytes[4] = {(unsigned char)id, (unsigned char)(id >> 8), (unsigned char)(id >> 16),
                                    (unsigned char)(id >> 24)};
    hash = XXH3_64bits_withSeed(bytes, sizeof bytes, hash);
  }
  return hash;
}

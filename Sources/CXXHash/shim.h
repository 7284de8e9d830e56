#pragma once
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

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

// Scalar twins of planes.cc.
#include "elements.h"

extern "C" void lagoon_gather_rows_scalar(const void *source, size_t rowBytes, const uint32_t *rows,
                                          size_t count, uint32_t first, void *destination) {
  const uint8_t *from = static_cast<const uint8_t *>(source);
  uint8_t *to = static_cast<uint8_t *>(destination);
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(to + i * rowBytes, from + (rows[i] - first) * rowBytes, rowBytes);
  }
}

extern "C" void lagoon_split_planes_scalar(const void *source, size_t elementBytes, size_t count,
                                           void *destination) {
  const uint8_t *from = static_cast<const uint8_t *>(source);
  uint8_t *to = static_cast<uint8_t *>(destination);
  for (size_t b = 0; b < elementBytes; ++b) {
    for (size_t i = 0; i < count; ++i) to[b * count + i] = from[i * elementBytes + b];
  }
}

extern "C" void lagoon_join_planes_scalar(const void *source, size_t elementBytes, size_t count,
                                          void *destination) {
  const uint8_t *from = static_cast<const uint8_t *>(source);
  uint8_t *to = static_cast<uint8_t *>(destination);
  for (size_t b = 0; b < elementBytes; ++b) {
    for (size_t i = 0; i < count; ++i) to[i * elementBytes + b] = from[b * count + i];
  }
}

// Moving rows and bytes: gathering kept rows, and byte planes for compression.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "planes.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

using Bytes = hn::CappedTag<uint8_t, 64>;

void GatherRows(const uint8_t *source, size_t rowBytes, const uint32_t *rows, size_t count, uint32_t first,
                uint8_t *destination) {
  const Bytes d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t *from = source + (rows[i] - first) * rowBytes;
    uint8_t *to = destination + i * rowBytes;
    size_t b = 0;
    for (; b + lanes <= rowBytes; b += lanes) hn::StoreU(hn::LoadU(d, from + b), d, to + b);
    std::memcpy(to + b, from + b, rowBytes - b);
  }
}

void SplitPlanes(const uint8_t *source, size_t elementBytes, size_t count, uint8_t *destination) {
  const Bytes d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  if (elementBytes == 2) {
    for (; i + lanes <= count; i += lanes) {
      hn::Vec<Bytes> p0, p1;
      hn::LoadInterleaved2(d, source + 2 * i, p0, p1);
      hn::StoreU(p0, d, destination + i);
      hn::StoreU(p1, d, destination + count + i);
    }
  } else if (elementBytes == 4) {
    for (; i + lanes <= count; i += lanes) {
      hn::Vec<Bytes> p0, p1, p2, p3;
      hn::LoadInterleaved4(d, source + 4 * i, p0, p1, p2, p3);
      hn::StoreU(p0, d, destination + i);
      hn::StoreU(p1, d, destination + count + i);
      hn::StoreU(p2, d, destination + 2 * count + i);
      hn::StoreU(p3, d, destination + 3 * count + i);
    }
  }
  for (; i < count; ++i) {
    for (size_t b = 0; b < elementBytes; ++b) destination[b * count + i] = source[i * elementBytes + b];
  }
}

void JoinPlanes(const uint8_t *source, size_t elementBytes, size_t count, uint8_t *destination) {
  const Bytes d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  if (elementBytes == 2) {
    for (; i + lanes <= count; i += lanes) {
      hn::StoreInterleaved2(hn::LoadU(d, source + i), hn::LoadU(d, source + count + i), d,
                            destination + 2 * i);
    }
  } else if (elementBytes == 4) {
    for (; i + lanes <= count; i += lanes) {
      hn::StoreInterleaved4(hn::LoadU(d, source + i), hn::LoadU(d, source + count + i),
                            hn::LoadU(d, source + 2 * count + i), hn::LoadU(d, source + 3 * count + i), d,
                            destination + 4 * i);
    }
  }
  for (; i < count; ++i) {
    for (size_t b = 0; b < elementBytes; ++b) destination[i * elementBytes + b] = source[b * count + i];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(GatherRows);
HWY_EXPORT(SplitPlanes);
HWY_EXPORT(JoinPlanes);
}  // namespace lagoon

extern "C" void lagoon_gather_rows(const void *source, size_t rowBytes, const uint32_t *rows, size_t count,
                                   uint32_t first, void *destination) {
  using namespace lagoon;
  LAGOON_DISPATCH(GatherRows)(static_cast<const uint8_t *>(source), rowBytes, rows, count, first,
                              static_cast<uint8_t *>(destination));
}

extern "C" void lagoon_split_planes(const void *source, size_t elementBytes, size_t count,
                                    void *destination) {
  using namespace lagoon;
  LAGOON_DISPATCH(SplitPlanes)(static_cast<const uint8_t *>(source), elementBytes, count,
                               static_cast<uint8_t *>(destination));
}

extern "C" void lagoon_join_planes(const void *source, size_t elementBytes, size_t count,
                                   void *destination) {
  using namespace lagoon;
  LAGOON_DISPATCH(JoinPlanes)(static_cast<const uint8_t *>(source), elementBytes, count,
                              static_cast<uint8_t *>(destination));
}
#endif

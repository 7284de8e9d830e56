// The range of every channel over rows, on vectors.
#include <algorithm>

#include "row-groups.h"
#include "scoring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ranges.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/cache_control.h"
#include "simd-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Rows of a run and those of the run after it, which come nearer while these are folded: runs are as short as a page, and down its
// columns no hardware fetches ahead.
struct FoldedRows {
  const uint8_t *rows;
  const uint8_t *next;  // as many; or these again
  size_t count;
  size_t rowBytes;

  // Calls `body` with where each row's bytes from `offset` on are, of which it reads kBytes.
  template <size_t kBytes, class Body>
  HWY_INLINE void ForEach(size_t offset, const Body &body) const {
    const uint8_t *row = rows + offset;
    const uint8_t *ahead = next + offset * count;
    for (size_t t = 0; t < count; ++t, row += rowBytes, ahead += kBytes) {
      if (kBytes >= 64 || t * kBytes % 64 == 0) {
        for (size_t line = 0; line < kBytes; line += 64) hwy::Prefetch(ahead + line);
      }
      body(row);
    }
  }
};

// Of f32, in the caller's arrays.
struct FloatRange {
  using Lane = float;
  static constexpr size_t kWidth = kVector;

  float *minimum;
  float *maximum;

  template <size_t kVectors>
  HWY_INLINE void Fold(const FoldedRows &rows, size_t c) {
    const F32 d;
    Vector least[kVectors], most[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      least[v] = hn::LoadU(d, minimum + c + v * kWidth);
      most[v] = hn::LoadU(d, maximum + c + v * kWidth);
    }
    rows.ForEach<kVectors * kWidth * sizeof(Lane)>(c * sizeof(Lane), [&](const uint8_t *row) HWY_ATTR {
      for (size_t v = 0; v < kVectors; ++v) {
        const auto channels = hn::LoadU(d, reinterpret_cast<const float *>(row) + v * kWidth);
        least[v] = hn::Min(channels, least[v]);
        most[v] = hn::Max(channels, most[v]);
      }
    });
    for (size_t v = 0; v < kVectors; ++v) {
      hn::StoreU(least[v], d, minimum + c + v * kWidth);
      hn::StoreU(most[v], d, maximum + c + v * kWidth);
    }
  }

  void Add(float x, size_t c) {
    minimum[c] = std::min(minimum[c], x);
    maximum[c] = std::max(maximum[c], x);
  }
};

// Of 2-byte floats, by their bits: taken as signed numbers, those of positive floats ascend with them, and those of negative floats
// are below and descend; taken as unsigned, those of negative floats are above.
struct PatternRange {
  using Lane = uint16_t;
  static constexpr size_t kWidth = 2 * kVector;
  using Unsigned = hn::CappedTag<uint16_t, kWidth>;
  using Signed = hn::RebindToSigned<Unsigned>;

  HWY_ALIGN int16_t least[LAGOON_MAX_HEAD_DIM];  // of those taken as signed
  HWY_ALIGN int16_t most[LAGOON_MAX_HEAD_DIM];
  HWY_ALIGN uint16_t highest[LAGOON_MAX_HEAD_DIM];  // of those taken as unsigned

  explicit PatternRange(size_t headDim) {
    std::fill_n(least, headDim, INT16_MAX);
    std::fill_n(most, headDim, INT16_MIN);
    std::fill_n(highest, headDim, 0);
  }

  template <size_t kVectors>
  HWY_INLINE void Fold(const FoldedRows &rows, size_t c) {
    const Unsigned du;
    const Signed ds;
    hn::Vec<Signed> leasts[kVectors], mosts[kVectors];
    hn::Vec<Unsigned> highests[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      leasts[v] = hn::LoadU(ds, least + c + v * kWidth);
      mosts[v] = hn::LoadU(ds, most + c + v * kWidth);
      highests[v] = hn::LoadU(du, highest + c + v * kWidth);
    }
    rows.ForEach<kVectors * kWidth * sizeof(Lane)>(c * sizeof(Lane), [&](const uint8_t *row) HWY_ATTR {
      for (size_t v = 0; v < kVectors; ++v) {
        const auto bits = hn::LoadU(du, reinterpret_cast<const uint16_t *>(row) + v * kWidth);
        leasts[v] = hn::Min(leasts[v], hn::BitCast(ds, bits));
        mosts[v] = hn::Max(mosts[v], hn::BitCast(ds, bits));
        highests[v] = hn::Max(highests[v], bits);
      }
    });
    for (size_t v = 0; v < kVectors; ++v) {
      hn::StoreU(leasts[v], ds, least + c + v * kWidth);
      hn::StoreU(mosts[v], ds, most + c + v * kWidth);
      hn::StoreU(highests[v], du, highest + c + v * kWidth);
    }
  }

  void Add(uint16_t bits, size_t c) {
    least[c] = std::min(least[c], static_cast<int16_t>(bits));
    most[c] = std::max(most[c], static_cast<int16_t>(bits));
    highest[c] = std::max(highest[c], bits);
  }

  // Of one channel, of which there was at least one element: the negative one that is farthest from 0, or else the lowest positive
  // one; the highest positive one, or else the negative one that is nearest to 0.
  uint16_t Minimum(size_t c) const { return highest[c] >= 0x8000 ? highest[c] : static_cast<uint16_t>(least[c]); }
  uint16_t Maximum(size_t c) const { return static_cast<uint16_t>(most[c] >= 0 ? most[c] : least[c]); }
};

template <class Range>
void FoldRuns(const lagoon_row_run *runs, size_t runCount, size_t headDim, Range &range) {
  constexpr size_t kFolded = 4;  // vectors of channels at a time
  constexpr size_t kWidth = Range::kWidth;
  using Lane = typename Range::Lane;
  const size_t rowBytes = headDim * sizeof(Lane);
  for (size_t i = 0; i < runCount; ++i) {
    const auto *rows = static_cast<const uint8_t *>(runs[i].rows);
    const bool isFollowed = i + 1 < runCount && runs[i + 1].count >= runs[i].count;
    const auto *next = isFollowed ? static_cast<const uint8_t *>(runs[i + 1].rows) : rows;
    const FoldedRows folded{rows, next, runs[i].count, rowBytes};
    size_t c = 0;
    for (; c + kFolded * kWidth <= headDim; c += kFolded * kWidth) range.template Fold<kFolded>(folded, c);
    for (; c + kWidth <= headDim; c += kWidth) range.template Fold<1>(folded, c);
    if (c == headDim) continue;
    for (size_t t = 0; t < runs[i].count; ++t) {
      for (size_t odd = c; odd < headDim; ++odd) range.Add(LoadAs<Lane>(rows + t * rowBytes + odd * sizeof(Lane)), odd);
    }
  }
}

template <uint8_t kType>
void FoldPatterns(const lagoon_row_run *runs, size_t runCount, size_t headDim, float *minimum, float *maximum) {
  if (CountRows(runs, runCount) == 0) return;
  PatternRange range(headDim);
  FoldRuns(runs, runCount, headDim, range);
  HWY_ALIGN uint16_t lowest[LAGOON_MAX_HEAD_DIM], highest[LAGOON_MAX_HEAD_DIM];
  for (size_t c = 0; c < headDim; ++c) {
    lowest[c] = range.Minimum(c);
    highest[c] = range.Maximum(c);
  }
  const F32 d;
  size_t c = 0;
  for (; c + kVector <= headDim; c += kVector) {
    const auto *low = reinterpret_cast<const uint8_t *>(lowest + c);
    const auto *high = reinterpret_cast<const uint8_t *>(highest + c);
    hn::StoreU(hn::Min(LoadFloats<kType>(low), hn::LoadU(d, minimum + c)), d, minimum + c);
    hn::StoreU(hn::Max(LoadFloats<kType>(high), hn::LoadU(d, maximum + c)), d, maximum + c);
  }
  for (; c < headDim; ++c) {
    minimum[c] = std::min(minimum[c], LoadElement(lowest, kType, c));
    maximum[c] = std::max(maximum[c], LoadElement(highest, kType, c));
  }
}

void ChannelRange(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim, float *minimum,
                  float *maximum) {
  WithType(type, [=](auto known) HWY_ATTR {
    if constexpr (known == LAGOON_F32) {
      FloatRange range{minimum, maximum};
      FoldRuns(runs, runCount, headDim, range);
    } else {
      FoldPatterns<known>(runs, runCount, headDim, minimum, maximum);
    }
  });
  DropSigns(minimum, headDim);
  DropSigns(maximum, headDim);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(ChannelRange);
}  // namespace lagoon

extern "C" void lagoon_channel_range(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim,
                                     float *minimum, float *maximum) {
  using namespace lagoon;
  LAGOON_DISPATCH(ChannelRange)(runs, runCount, type, headDim, minimum, maximum);
}
#endif

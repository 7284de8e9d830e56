// Scoring on vectors, but for the deviations. Odd channels at the end of a row are added to their lanes one by one.
#include "scoring.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "scoring.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "hwy/cache_control.h"
#include "lanes-inl.h"

#pragma clang fp contract(off)

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// The lesser and the greater as comparisons define them: with equal ones, +0 and -0 included, the second. NEON's own
// would choose between +0 and -0.
HWY_INLINE Vector Lesser(Vector a, Vector b) {
  return HWY_ARCH_X86 ? hn::Min(a, b) : hn::IfThenElse(hn::Lt(a, b), a, b);
}
HWY_INLINE Vector Greater(Vector a, Vector b) {
  return HWY_ARCH_X86 ? hn::Max(a, b) : hn::IfThenElse(hn::Gt(a, b), a, b);
}

// kVectors vectors of channels from `c` on, in the order of LoadChannels if they are several. Meanwhile as many bytes from `next` on as are
// folded, if there are any, come nearer: runs are as short as a page, and down its columns no hardware fetches ahead.
template <uint8_t kType, size_t kVectors>
HWY_INLINE void FoldChannels(const uint8_t *rows, size_t count, size_t headDim, size_t c, const uint8_t *next,
                             float *minimum, float *maximum) {
  constexpr size_t kBytes = ElementBytes(kType);
  const F32 d;
  Vector least[kVectors], most[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    least[v] = hn::LoadU(d, minimum + c + v * kVector);
    most[v] = hn::LoadU(d, maximum + c + v * kVector);
  }
  constexpr size_t kShare = kVectors * kVector * kBytes;
  const uint8_t *from = rows + c * kBytes;
  if (next != nullptr) next += c * kBytes * count;
  for (size_t t = 0; t < count; ++t, from += headDim * kBytes) {
    if (next != nullptr && t * kShare % 64 == 0) hwy::Prefetch(next + t * kShare);
    Vector channels[kVectors];
    if constexpr (kVectors > 1) {
      LoadChannels<kType>(from, channels);
    } else {
      channels[0] = LoadFloats<kType>(from);
    }
    for (size_t v = 0; v < kVectors; ++v) {
      least[v] = Lesser(channels[v], least[v]);
      most[v] = Greater(channels[v], most[v]);
    }
  }
  for (size_t v = 0; v < kVectors; ++v) {
    hn::StoreU(least[v], d, minimum + c + v * kVector);
    hn::StoreU(most[v], d, maximum + c + v * kVector);
  }
}

constexpr size_t kFolded = 4;  // vectors of channels that are folded at a time

template <uint8_t kType>
void FoldRun(const uint8_t *rows, size_t count, size_t headDim, const uint8_t *next, float *minimum, float *maximum) {
  size_t c = 0;
  for (; c + kFolded * kVector <= headDim; c += kFolded * kVector) {
    FoldChannels<kType, kFolded>(rows, count, headDim, c, next, minimum, maximum);
  }
  for (; c + kVector <= headDim; c += kVector) {
    FoldChannels<kType, 1>(rows, count, headDim, c, next, minimum, maximum);
  }
  for (; c < headDim; ++c) {
    for (size_t t = 0; t < count; ++t) {
      const float x = LoadElement(rows, kType, t * headDim + c);
      if (x < minimum[c]) minimum[c] = x;
      if (x > maximum[c]) maximum[c] = x;
    }
  }
}

template <uint8_t kType>
void ChannelRangeTyped(const lagoon_row_run *runs, size_t runCount, size_t headDim, float *minimum, float *maximum) {
  // Channels that are folded several vectors at a time are in the order of LoadChannels meanwhile.
  const size_t arranged = kType == LAGOON_BF16 ? headDim / (kFolded * kVector) * (kFolded * kVector) : 0;
  for (float *floats : {minimum, maximum}) ArrangeEvenOdd(floats, arranged, floats);
  for (size_t i = 0; i < runCount; ++i) {
    const bool isFollowed = i + 1 < runCount && runs[i + 1].count >= runs[i].count;
    FoldRun<kType>(static_cast<const uint8_t *>(runs[i].rows), runs[i].count, headDim,
                   isFollowed ? static_cast<const uint8_t *>(runs[i + 1].rows) : nullptr, minimum, maximum);
  }
  for (float *floats : {minimum, maximum}) OrderEvenOdd(floats, arranged);
}

template <uint8_t kType>
void SquareSumsTyped(const uint8_t *rows, size_t count, size_t headDim, float *results) {
  constexpr size_t kBytes = ElementBytes(kType);
  const size_t whole = headDim / kLanes * kLanes;
  for (size_t t = 0; t < count; ++t, rows += headDim * kBytes) {
    Vector sums[kParts];
    for (size_t p = 0; p < kParts; ++p) sums[p] = hn::Zero(F32());
    for (size_t c = 0; c < whole; c += kLanes) {
      for (size_t p = 0; p < kParts; ++p) {
        const auto x = LoadFloats<kType>(rows + (c + p * kVector) * kBytes);
        sums[p] = hn::Add(sums[p], hn::Mul(x, x));
      }
    }
    float rest[kLanes];
    for (size_t c = whole; c < headDim; ++c) {
      const float x = LoadElement(rows, kType, c);
      rest[c - whole] = x * x;
    }
    results[t] = Finished(sums, rest, headDim - whole);
  }
}

// As Exponential, operation by operation.
HWY_INLINE Vector Exponentials(Vector x) {
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const auto round = hn::Set(d, kExpRound);
  const auto seen = hn::Ge(x, hn::Set(d, kExpLowest));
  x = hn::IfThenElseZero(seen, x);
  const auto n = hn::Sub(hn::Add(hn::Mul(x, hn::Set(d, kExpInverseLog2)), round), round);
  const auto r = hn::Sub(hn::Sub(x, hn::Mul(n, hn::Set(d, kExpLog2High))),
                         hn::Mul(n, hn::Set(d, kExpLog2Low)));
  auto p = hn::Set(d, kExp6);
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp5));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp4));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp3));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, kExp2));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, 1.0f));
  p = hn::Add(hn::Mul(p, r), hn::Set(d, 1.0f));
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::IfThenElseZero(seen, hn::Mul(p, hn::BitCast(d, exponent)));
}

void AddSoftmax(float *x, size_t count, float weight, float *scores) {
  if (count == 0) return;
  const F32 d;
  float largest = x[0];
  for (size_t i = 1; i < count; ++i) largest = x[i] > largest ? x[i] : largest;

  const size_t whole = count / kLanes * kLanes;
  const auto largests = hn::Set(d, largest);
  Vector sums[kParts];
  for (size_t p = 0; p < kParts; ++p) sums[p] = hn::Zero(d);
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t p = 0; p < kParts; ++p) {
      const auto e = Exponentials(hn::Sub(hn::LoadU(d, x + i + p * kVector), largests));
      hn::StoreU(e, d, x + i + p * kVector);
      sums[p] = hn::Add(sums[p], e);
    }
  }
  for (size_t i = whole; i < count; ++i) x[i] = Exponential(x[i] - largest);
  const float sum = Finished(sums, x + whole, count - whole);

  const auto total = hn::Set(d, sum);
  const auto weights = hn::Set(d, weight);
  size_t i = 0;
  for (; i + kVector <= count; i += kVector) {
    const auto share = hn::Div(hn::LoadU(d, x + i), total);
    hn::StoreU(hn::Add(hn::LoadU(d, scores + i), hn::Mul(weights, share)), d, scores + i);
  }
  for (; i < count; ++i) scores[i] = scores[i] + weight * (x[i] / sum);
}

void ChannelRange(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim, float *minimum,
                  float *maximum) {
  WithType(type, [=](auto known) HWY_ATTR {
    ChannelRangeTyped<known>(runs, runCount, headDim, minimum, maximum);
  });
}

void SquareSums(const uint8_t *rows, uint8_t type, size_t count, size_t headDim, float *sums) {
  WithType(type, [=](auto known) HWY_ATTR { SquareSumsTyped<known>(rows, count, headDim, sums); });
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(ChannelRange);
HWY_EXPORT(AddSoftmax);
HWY_EXPORT(SquareSums);
}  // namespace lagoon

extern "C" void lagoon_channel_range(const lagoon_row_run *runs, size_t runCount, uint8_t type, size_t headDim,
                                     float *minimum, float *maximum) {
  using namespace lagoon;
  LAGOON_DISPATCH(ChannelRange)(runs, runCount, type, headDim, minimum, maximum);
}

extern "C" void lagoon_add_softmax(float *x, size_t count, float weight, float *scores) {
  using namespace lagoon;
  LAGOON_DISPATCH(AddSoftmax)(x, count, weight, scores);
}

extern "C" void lagoon_square_sums(const void *rows, uint8_t type, size_t count, size_t headDim,
                                   float *sums) {
  using namespace lagoon;
  LAGOON_DISPATCH(SquareSums)(static_cast<const uint8_t *>(rows), type, count, headDim, sums);
}
#endif

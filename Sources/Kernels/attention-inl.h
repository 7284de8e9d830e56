// What attention multiplies of a tile for some query rows, for the target being compiled: logits, a blocked product along the channels,
// some keys at a time, and the weighted values, a blocked product along the keys. Included once per target.
#include "attention-weights-inl.h"
#include "hwy/cache_control.h"

#if defined(LAGOON_ATTENTION_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_ATTENTION_INL_H
#undef LAGOON_ATTENTION_INL_H
#else
#define LAGOON_ATTENTION_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Keys, or vectors of values, beside them: the sums fill most registers of the target.
constexpr size_t kAbreast = (HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86) || HWY_ARCH_ARM_A64 ? 4 : 2;

// Converts one row to f32, padded with zeros; if kEvenOdd, a row of bf16 arranged as LoadChannels says.
template <uint8_t kType, bool kEvenOdd>
HWY_INLINE void UnpackRow(const uint8_t *from, size_t headDim, size_t padded, float *to) {
  constexpr size_t kBytes = ElementBytes(kType);
  constexpr size_t kVectors = kEvenOdd ? 2 : 1;
  const F32 d;
  size_t c = 0;
  for (; c + kVectors * kVector <= headDim; c += kVectors * kVector) {
    if constexpr (kEvenOdd) {
      Vector channels[2];
      LoadChannels<kType>(from + c * kBytes, channels);
      for (size_t v = 0; v < 2; ++v) hn::Store(channels[v], d, to + c + v * kVector);
    } else {
      hn::Store(LoadFloats<kType>(from + c * kBytes), d, to + c);
    }
  }
  for (; c < headDim; ++c) to[c] = LoadElement(from, kType, c);
  for (; c < padded; ++c) to[c] = 0.0f;
}

constexpr size_t kLine = 64;  // bytes

// Brings rows of the tile after this one nearer while this one is computed on, line after line and evenly: a CPU drops a
// prefetch that finds all of its miss buffers taken, so a burst of them is lost, and pages as short as a head's rows in a slab end
// the hardware's own prefetching.
class Ahead {
 public:
  // From the first line of `row` on; null: nothing is fetched.
  Ahead(const uint8_t *const *row, size_t rowBytes) : row_(row), rowBytes_(rowBytes) {}

  HWY_INLINE void FetchLine() {
    hwy::Prefetch(*row_ + at_);
    at_ += kLine;
    const bool isEnd = at_ >= rowBytes_;
    at_ = isEnd ? 0 : at_;
    row_ += isEnd;
  }

 private:
  const uint8_t *const *row_;
  size_t rowBytes_;
  size_t at_ = 0;
};

constexpr size_t kPage = 4096;  // bytes

// Has the CPU look up where the pages of some rows lie. That can take as long as a dozen lines do to come from memory, and lines of a
// page that is still being looked up wait for it: so it is done well before they are fetched.
HWY_INLINE void TouchPages(const uint8_t *const *rows, size_t count, size_t rowBytes) {
  const size_t rowsAPage = rowBytes < kPage ? kPage / rowBytes : 1;
  for (size_t r = 0; r < count; r += rowsAPage) hwy::Prefetch(rows[r]);
}

// Rows that few query rows fetch while a tile is computed on: as many as the tile has, during its logits and during its weighted values.
// Null: none.
struct Fetched {
  const uint8_t *const *duringLogits = nullptr;
  const uint8_t *const *duringValues = nullptr;

  // Of `tile` and the one after it, whose rows are as long; null: that one's are not.
  Fetched(const Tile &tile, const Tile *next, size_t rowBytes) {
    if (next == nullptr || rowBytes % kLine != 0) return;
    const bool isNextWhole = next->count == kKeyTile;
    if (2 * kKeyTile * rowBytes <= kFirstCache && tile.count == kKeyTile) {
      duringLogits = tile.values;
      duringValues = isNextWhole ? next->keys : tile.values;
    } else if (isNextWhole) {
      duringLogits = next->keys;
      duringValues = next->values;
    }
    TouchPages(next->keys, next->count, rowBytes);
    TouchPages(next->values, next->count, rowBytes);
  }

 private:
  // Keys and values of a tile that stay in the first cache are fetched one half of a tile ahead, longer ones a tile ahead.
  static constexpr size_t kFirstCache = 32 << 10;
};

// The same in so many even steps that each has time for its lines: for many query rows, and for blocks of 8 bits.
class AheadInSteps {
 public:
  AheadInSteps(const uint8_t *const *rows, size_t count, size_t rowBytes, size_t steps)
      : ahead_(rows, rowBytes), left_(count * ((rowBytes + kLine - 1) / kLine)), linesAStep_((left_ + steps - 1) / steps) {}

  HWY_INLINE void Step() {
    const size_t lines = HWY_MIN(linesAStep_, left_);
    for (size_t i = 0; i < lines; ++i) ahead_.FetchLine();
    left_ -= lines;
  }

 private:
  Ahead ahead_;
  size_t left_;  // lines
  size_t linesAStep_;
};

// to[q * kKeyTile + k] = scale * the sum over the lanes of sums[q][k].
template <size_t kQueries, size_t kKeys>
HWY_INLINE void StoreSums(const Vector (&sums)[kQueries][kKeys], float scale, float *HWY_RESTRICT to) {
  const Quad d;
  const auto scales = hn::Set(d, scale);
  if constexpr (kKeys == 4) {
    for (size_t q = 0; q < kQueries; ++q) {
      const auto products = SumsOfFour(sums[q][0], sums[q][1], sums[q][2], sums[q][3]);
      hn::StoreU(Limited(d, hn::Mul(products, scales)), d, to + q * kKeyTile);
    }
  } else {
    for (size_t q = 0; q < kQueries; q += 2) {
      const auto products = SumsOfFour(sums[q][0], sums[q][1], sums[q + 1][0], sums[q + 1][1]);
      const auto both = Limited(d, hn::Mul(products, scales));
      const hn::Half<Quad> pair;
      hn::StoreU(hn::LowerHalf(pair, both), pair, to + q * kKeyTile);
      hn::StoreU(hn::UpperHalf(pair, both), pair, to + (q + 1) * kKeyTile);
    }
  }
}

// logits[q * kKeyTile + r] = scale * (query q · key r), for first ≤ r < keys; up to three values behind are overwritten. If kAhead, as
// many of the rows `fetched` are.
template <uint8_t kType, size_t kQueries, bool kAhead>
HWY_INLINE void Logits(const float *HWY_RESTRICT queries, size_t padded, float scale, const Tile &tile, size_t first,
                       size_t keys, const uint8_t *const *fetched, float *HWY_RESTRICT logits) {
  constexpr size_t kBytes = ElementBytes(kType);
  constexpr size_t kKeys = kQueries >= 4 ? kAbreast : 4;
  constexpr size_t kChannels = kLine / kBytes;  // of a line
  constexpr size_t kVectors = kType == LAGOON_BF16 ? 2 : 1;
  const F32 d;
  Ahead ahead(kAhead ? fetched + first : nullptr, padded * kBytes);
  for (size_t r = first; r < keys; r += kKeys) {
    const uint8_t *key[kKeys];
    for (size_t k = 0; k < kKeys; ++k) key[k] = tile.keys[r + k < keys ? r + k : keys - 1];
    Vector sums[kQueries][kKeys];
    for (size_t q = 0; q < kQueries; ++q) {
      for (size_t k = 0; k < kKeys; ++k) sums[q][k] = hn::Zero(d);
    }
    const auto multiply = [&](size_t c) HWY_ATTR {
      Vector channels[kKeys][kVectors];
      for (size_t k = 0; k < kKeys; ++k) LoadChannels<kType>(key[k] + c * kBytes, channels[k]);
      for (size_t v = 0; v < kVectors; ++v) {
        for (size_t q = 0; q < kQueries; ++q) {
          const auto query = hn::Load(d, queries + q * padded + c + v * kVector);
          for (size_t k = 0; k < kKeys; ++k) sums[q][k] = hn::MulAdd(query, channels[k][v], sums[q][k]);
        }
      }
    };
    // A line of each key, and as many of those ahead.
    size_t c = 0;
    for (; c + kChannels <= padded; c += kChannels) {
      constexpr size_t kSteps = kChannels / (kVectors * kVector);
      for (size_t step = 0; step < kSteps; ++step) {
        if constexpr (kAhead) {
          for (size_t line = step * kKeys / kSteps; line < (step + 1) * kKeys / kSteps; ++line) ahead.FetchLine();
        }
        multiply(c + step * kVectors * kVector);
      }
    }
    for (; c < padded; c += kVectors * kVector) multiply(c);
    StoreSums(sums, scale, logits + r);
  }
}

// weighted = weighted * decay + sums, for kVectors vectors of channels.
template <bool kEvenOdd, size_t kVectors>
HWY_INLINE void AddSums(const Vector (&sums)[kVectors], float decay, float *HWY_RESTRICT weighted) {
  const F32 d;
  const auto decays = hn::Set(d, decay);
  if constexpr (kEvenOdd) {
    HWY_ALIGN float ordered[kVectors * kVector];
    for (size_t v = 0; v < kVectors; v += 2) hn::StoreInterleaved2(sums[v], sums[v + 1], d, ordered + v * kVector);
    for (size_t at = 0; at < kVectors * kVector; at += kVector) {
      hn::Store(hn::MulAdd(hn::Load(d, weighted + at), decays, hn::Load(d, ordered + at)), d, weighted + at);
    }
  } else {
    for (size_t v = 0; v < kVectors; ++v) {
      float *at = weighted + v * kVector;
      hn::Store(hn::MulAdd(hn::Load(d, at), decays, sums[v]), d, at);
    }
  }
}

// weighted[q] = weighted[q] * decay[q] + Σ weights[q][r] * value r, over kVectors vectors of channels. If kAhead, these channels' share
// of the rows `fetched` is.
template <uint8_t kType, bool kEvenOdd, size_t kQueries, size_t kVectors, bool kAhead>
HWY_INLINE void AddValues(const float *HWY_RESTRICT weights, const float *decay, const Tile &tile, size_t keys,
                          size_t channel, const uint8_t *const *fetched, float *HWY_RESTRICT weighted,
                          size_t padded) {
  constexpr size_t kBytes = ElementBytes(kType);
  constexpr size_t kShare = kVectors * kVector * kBytes;            // bytes of a row
  constexpr size_t kSharers = kShare < kLine ? kLine / kShare : 1;  // of a line
  const F32 d;
  Vector sums[kQueries][kVectors];
  for (size_t q = 0; q < kQueries; ++q) {
    for (size_t v = 0; v < kVectors; ++v) sums[q][v] = hn::Zero(d);
  }
  const auto add = [&](size_t r) HWY_ATTR {
    Vector values[kVectors];
    LoadChannels<kType>(tile.values[r] + channel * kBytes, values);
    for (size_t q = 0; q < kQueries; ++q) {
      const auto weight = hn::Set(d, weights[q * kKeyTile + r]);
      for (size_t v = 0; v < kVectors; ++v) sums[q][v] = hn::MulAdd(weight, values[v], sums[q][v]);
    }
  };
  // All calls together fetch every row, so this one begins where its share of the channels does among the rows.
  Ahead ahead(kAhead ? fetched + channel * kKeyTile / padded : nullptr, padded * kBytes);
  size_t r = 0;
  for (; r + kSharers <= keys; r += kSharers) {
    if constexpr (kAhead) {
      for (size_t at = 0; at < kShare; at += kLine) ahead.FetchLine();
    }
    for (size_t i = 0; i < kSharers; ++i) add(r + i);
  }
  for (; r < keys; ++r) add(r);
  for (size_t q = 0; q < kQueries; ++q) {
    AddSums<kEvenOdd>(sums[q], decay[q], weighted + q * padded + channel);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

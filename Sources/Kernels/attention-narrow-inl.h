// Logits of bf16 queries and bf16 keys by the CPU's own products of pairs, for the target being compiled. Included once per target.
//
// Both factors are exact, and so are their products, which are summed in f32 as any others: nothing is lost but subnormals, which the
// instruction takes for 0. Weights are not numbers of bf16, so what they multiply is widened.
//
// A logit is the sum of 16 chains, of which chain n goes through the pairs of channels n, 16 + n, 32 + n and so on. Few query rows have the
// chains of a key side by side in a vector, and read keys where they are; many have a chain of 16 keys side by side, transposed once, and so
// no sums across a vector. The chains are added in the same order, so the bits are the same.
#include "attention-inl.h"

#include <cstring>
#if HWY_ARCH_X86
#include <immintrin.h>
#endif

#if defined(LAGOON_ATTENTION_NARROW_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_ATTENTION_NARROW_INL_H
#undef LAGOON_ATTENTION_NARROW_INL_H
#else
#define LAGOON_ATTENTION_NARROW_INL_H
#endif

#undef LAGOON_NARROW_PRODUCTS
#define LAGOON_NARROW_PRODUCTS (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)

#if LAGOON_NARROW_PRODUCTS

// The instruction is more than the target asks of the CPU: functions that have it are not part of others, and are called where
// HasNarrowProducts() only.
#undef LAGOON_NARROW
#define LAGOON_NARROW __attribute__((target(HWY_TARGET_STR ",avx512bf16")))

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

constexpr size_t kChains = kVector;
constexpr size_t kPanelKeys = kVector;  // keys that are transposed together
constexpr size_t kPanelsAtOnce = 2;     // for which a pair of a query is loaded once

// As Logits, of queries [kQueries, padded] in bf16; `padded` is a multiple of 2 * kChains.
template <size_t kQueries, bool kAhead>
LAGOON_NARROW HWY_NOINLINE void NarrowLogits(const uint16_t *HWY_RESTRICT queries, size_t padded, float scale,
                                             const Tile &tile, size_t keys, const uint8_t *const *fetched,
                                             float *HWY_RESTRICT logits) {
  constexpr size_t kKeys = 4;
  Ahead ahead(kAhead ? fetched : nullptr, padded * sizeof(uint16_t));
  for (size_t r = 0; r < keys; r += kKeys) {
    const uint8_t *key[kKeys];
    for (size_t k = 0; k < kKeys; ++k) key[k] = tile.keys[HWY_MIN(r + k, keys - 1)];
    Vector sums[kQueries][kKeys];
    for (size_t q = 0; q < kQueries; ++q) {
      for (size_t k = 0; k < kKeys; ++k) sums[q][k] = hn::Zero(F32());
    }
    for (size_t c = 0; c < padded; c += 2 * kChains) {
      if constexpr (kAhead) {
        for (size_t line = 0; line < kKeys; ++line) ahead.FetchLine();
      }
      __m512bh pairs[kKeys];
      for (size_t k = 0; k < kKeys; ++k) pairs[k] = (__m512bh)_mm512_loadu_si512(key[k] + c * sizeof(uint16_t));
      for (size_t q = 0; q < kQueries; ++q) {
        const auto query = (__m512bh)_mm512_load_si512(queries + q * padded + c);
        for (size_t k = 0; k < kKeys; ++k) sums[q][k].raw = _mm512_dpbf16_ps(sums[q][k].raw, query, pairs[k]);
      }
    }
    StoreSums(sums, scale, logits + r);
  }
}

// to[p] = the pairs p of 16 rows, for the 16 pairs of each row that begin at byte `at`.
HWY_INLINE void Transpose(const uint8_t *const *rows, size_t at, __m512i *to) {
  // Four pairs of rows r, 4 + r, 8 + r and 12 + r: loads in place of half of the shuffles.
  const auto load = [&](size_t r, size_t from) HWY_ATTR {
    const auto quad = [&](size_t row) HWY_ATTR {
      return _mm_loadu_si128(reinterpret_cast<const __m128i *>(rows[row] + from));
    };
    __m512i quads = _mm512_castsi128_si512(quad(r));
    quads = _mm512_mask_broadcast_i32x4(quads, 0x00f0, quad(r + 4));
    quads = _mm512_mask_broadcast_i32x4(quads, 0x0f00, quad(r + 8));
    return _mm512_mask_broadcast_i32x4(quads, 0xf000, quad(r + 12));
  };
  for (size_t j = 0; j < 4; ++j, at += 16, to += 4) {
    const auto a = load(0, at);
    const auto b = load(1, at);
    const auto c = load(2, at);
    const auto e = load(3, at);
    const auto lowAB = _mm512_unpacklo_epi32(a, b);
    const auto lowCE = _mm512_unpacklo_epi32(c, e);
    const auto highAB = _mm512_unpackhi_epi32(a, b);
    const auto highCE = _mm512_unpackhi_epi32(c, e);
    _mm512_store_si512(to, _mm512_unpacklo_epi64(lowAB, lowCE));
    _mm512_store_si512(to + 1, _mm512_unpackhi_epi64(lowAB, lowCE));
    _mm512_store_si512(to + 2, _mm512_unpacklo_epi64(highAB, highCE));
    _mm512_store_si512(to + 3, _mm512_unpackhi_epi64(highAB, highCE));
  }
}

// The keys of a tile as panels of kPanelKeys keys, each [padded / 2] pairs of channels, a line each, in `scratch` [kKeyTile, padded] of
// bf16; keys[p] is panel p. The last key also stands for those that the last panel, of an even number, lacks.
inline void MakePanels(const Tile &tile, size_t padded, uint8_t *scratch, const uint8_t **keys) {
  const size_t rowBytes = padded * sizeof(uint16_t);
  const size_t panels = hwy::RoundUpTo(hwy::DivCeil(tile.count, kPanelKeys), kPanelsAtOnce);
  for (size_t panel = 0; panel < panels; ++panel) {
    const uint8_t *rows[kPanelKeys];
    for (size_t k = 0; k < kPanelKeys; ++k) {
      rows[k] = tile.keys[HWY_MIN(panel * kPanelKeys + k, tile.count - 1)];
    }
    keys[panel] = scratch + panel * kPanelKeys * rowBytes;
    __m512i *to = reinterpret_cast<__m512i *>(scratch + panel * kPanelKeys * rowBytes);
    for (size_t at = 0; at < rowBytes; at += kLine, to += kChains) Transpose(rows, at, to);
  }
}

// The chains of some panels' keys for some queries. kPadded: `padded`, or 0 if the compiler shall not know it.
template <size_t kQueries, size_t kPadded>
struct Chains {
  using Sums = __m512[kQueries][kPanelsAtOnce];

  const uint16_t *queries;  // [kQueries, padded]
  const uint8_t *const *panels;
  size_t anyPadded;

  // The sums of 2 to the power of kLevel chains, of which `first` is one, as SumsOfFour adds lanes: those two apart, then neighbours, then
  // fours that are two apart, then neighbours.
  template <size_t kLevel>
  LAGOON_NARROW HWY_INLINE void Add(size_t first, Sums &sums) const {
    if constexpr (kLevel == 0) {
      Multiply(first, sums);
    } else {
      constexpr size_t kApart[] = {2, 1, 8, 4};
      Sums others;
      Add<kLevel - 1>(first, sums);
      Add<kLevel - 1>(first + kApart[kLevel - 1], others);
      for (size_t q = 0; q < kQueries; ++q) {
        for (size_t p = 0; p < kPanelsAtOnce; ++p) sums[q][p] = _mm512_add_ps(sums[q][p], others[q][p]);
      }
    }
  }

 private:
  // One chain.
  LAGOON_NARROW HWY_INLINE void Multiply(size_t first, Sums &sums) const {
    const size_t padded = kPadded > 0 ? kPadded : anyPadded;
    for (size_t q = 0; q < kQueries; ++q) {
      for (size_t p = 0; p < kPanelsAtOnce; ++p) sums[q][p] = _mm512_setzero_ps();
    }
    // Unrolled, all chains are one stretch of code, and more is under way in it than there are registers.
#pragma clang loop unroll(disable)
    for (size_t pair = first; pair < padded / 2; pair += kChains) {
      __m512bh keys[kPanelsAtOnce];
      for (size_t p = 0; p < kPanelsAtOnce; ++p) keys[p] = (__m512bh)_mm512_load_si512(panels[p] + pair * kLine);
      for (size_t q = 0; q < kQueries; ++q) {
        int both;
        std::memcpy(&both, queries + q * padded + 2 * pair, sizeof(both));
        const auto query = (__m512bh)_mm512_set1_epi32(both);
        for (size_t p = 0; p < kPanelsAtOnce; ++p) sums[q][p] = _mm512_dpbf16_ps(sums[q][p], query, keys[p]);
      }
    }
  }
};

// logits[q * kKeyTile + k] = scale * (query q · key k) for 0 ≤ k < keys, and whatever up to the end of the tile, of queries
// [kQueries, padded] in bf16.
template <size_t kQueries, size_t kPadded>
LAGOON_NARROW HWY_NOINLINE void PanelLogitsOf(const uint16_t *HWY_RESTRICT queries, size_t padded, float scale,
                                            const uint8_t *const *panels, size_t keys, float *HWY_RESTRICT logits) {
  const __m512 scales = _mm512_set1_ps(scale);
  for (size_t k = 0; k < keys; k += kPanelKeys * kPanelsAtOnce, panels += kPanelsAtOnce) {
    typename Chains<kQueries, kPadded>::Sums sums;
    Chains<kQueries, kPadded>{queries, panels, padded}.template Add<4>(0, sums);
    for (size_t q = 0; q < kQueries; ++q) {
      for (size_t p = 0; p < kPanelsAtOnce; ++p) {
        const Vector products{_mm512_mul_ps(sums[q][p], scales)};
        hn::Store(Limited(F32(), products), F32(), logits + q * kKeyTile + k + p * kPanelKeys);
      }
    }
  }
}

// The same; lengths that models have are compiled in.
template <size_t kQueries>
HWY_INLINE void PanelLogits(const uint16_t *queries, size_t padded, float scale, const uint8_t *const *panels, size_t keys,
                            float *logits) {
  const auto make = padded == 128  ? PanelLogitsOf<kQueries, 128>
                    : padded == 64 ? PanelLogitsOf<kQueries, 64>
                                   : PanelLogitsOf<kQueries, 0>;
  make(queries, padded, scale, panels, keys, logits);
}

// The same for any number of query rows.
HWY_INLINE void PanelLogitsOfRows(const uint16_t *queries, size_t rows, size_t padded, float scale,
                                  const uint8_t *const *panels, size_t keys, float *logits) {
  const auto make = [&](auto count, size_t row) HWY_ATTR {
    PanelLogits<count>(queries + row * padded, padded, scale, panels, keys, logits + row * kKeyTile);
  };
  size_t row = 0;
  for (; row + 6 <= rows; row += 6) make(std::integral_constant<size_t, 6>(), row);
  for (; row + 2 <= rows; row += 2) make(std::integral_constant<size_t, 2>(), row);
  if (row < rows) make(std::integral_constant<size_t, 1>(), row);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

#endif

// One tile of attention, for the target being compiled: what attention.cc and attention_q8.cc share. Included once per
// target.
//
// Query rows go in blocks of up to six. Blocks, and the order in which a tile is gone through, only decide what is in registers and in
// the first cache together: each row's sums run in the same order in every block, so a row's bits don't depend on the rows beside it.
#include "attention-narrow-inl.h"

#if defined(LAGOON_ATTENTION_BLOCKS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_ATTENTION_BLOCKS_INL_H
#undef LAGOON_ATTENTION_BLOCKS_INL_H
#else
#define LAGOON_ATTENTION_BLOCKS_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Query rows of a block where they are many.
constexpr size_t kBlockRows = 6;

// Query rows that are not many: reading the keys takes longer than computing.
constexpr size_t kFewRows = 16;

// Rows, two blocks, up to which narrow elements are widened where they are used; for more, once.
constexpr size_t kRowsInPlace = 8;

// What makes logits.
enum class Products {
  kFloats,  // queries and keys as f32, to which keys are widened at the latest where they are used
  kNarrow,  // both in bf16
  kPanels,  // both in bf16, and keys transposed: a tile's keys[p] is its panel p
};

// How the rows of a tile and of the queries lie. kIsEvenOdd: the channels of values, and those of queries and keys where they are floats,
// are arranged as LoadChannels says.
template <uint8_t kKeyType, uint8_t kValueType, bool kIsEvenOdd, Products kTheProducts = Products::kFloats>
struct TileForm {
  static constexpr uint8_t kKeys = kKeyType;
  static constexpr uint8_t kValues = kValueType;
  static constexpr bool kEvenOdd = kIsEvenOdd;
  static constexpr Products kProducts = kTheProducts;
};

// What is computed of a tile, for the kQueries rows from `row` on: a block. Weights are [rows, kKeyTile].
template <class Form, size_t kQueries>
struct Block {
  static constexpr size_t kVectors = kQueries >= 4 ? kAbreast : 4;
  static constexpr size_t kLast = Form::kEvenOdd ? 2 : 1;  // vectors that are left over

  const lagoon_query_rows &rows;
  const Tile &tile;
  size_t row;
  size_t padded;
  float *HWY_RESTRICT weights;
  float *HWY_RESTRICT decay;  // [rows]

  Block(const lagoon_query_rows &rows, const Tile &tile, size_t row, float *weights, float *decay)
      : rows(rows), tile(tile), row(row), padded(lagoon_padded_dim(rows.headDim)), weights(weights), decay(decay) {}

  // Keys that any of the rows sees: later rows see at least as much.
  HWY_INLINE size_t Seen() const { return VisibleKeys(rows, row + kQueries - 1, tile.count, tile.firstPosition); }

  // Of bf16 products, `first` is 0.
  template <bool kAhead>
  HWY_INLINE void MakeLogits(size_t first, size_t keys, const uint8_t *const *fetched) const {
    float *to = weights + row * kKeyTile;
    if constexpr (Form::kProducts == Products::kFloats) {
      const float *queries = rows.queries + row * padded;
      Logits<Form::kKeys, kQueries, kAhead>(queries, padded, rows.scale, tile, first, keys, fetched, to);
    } else {
#if LAGOON_NARROW_PRODUCTS
      const uint16_t *queries = rows.narrow + row * padded;
      if constexpr (Form::kProducts == Products::kNarrow) {
        NarrowLogits<kQueries, kAhead>(queries, padded, rows.scale, tile, keys, fetched, to);
      } else {
        PanelLogits<kQueries>(queries, padded, rows.scale, tile.keys, keys, to);
      }
#endif
    }
  }

  // The channels from `c` on that are added together; returns how many they are.
  template <bool kAhead>
  HWY_INLINE size_t AddChannels(size_t c, size_t seen, const uint8_t *const *fetched) const {
    if (c + kVectors * kVector <= padded) return Add<kAhead, kVectors>(c, seen, fetched);
    return Add<kAhead, kLast>(c, seen, fetched);
  }

  // All of it at once. If kAhead, rows are fetched meanwhile.
  template <bool kAhead>
  HWY_INLINE void Attend(const Fetched &fetched) const {
    const size_t seen = Seen();
    if (seen == 0) return;
    MakeLogits<kAhead>(0, seen, fetched.duringLogits);
    WeighRows<kQueries>(rows, tile, row, seen, weights, decay);
    for (size_t c = 0; c < padded;) c += AddChannels<kAhead>(c, seen, fetched.duringValues);
  }

 private:
  template <bool kAhead, size_t kCount>
  HWY_INLINE size_t Add(size_t c, size_t seen, const uint8_t *const *fetched) const {
    AddValues<Form::kValues, Form::kEvenOdd, kQueries, kCount, kAhead>(
        weights + row * kKeyTile, decay + row, tile, seen, c, fetched, rows.weighted + row * padded, padded);
    return kCount * kVector;
  }
};

// Calls `body` with the rows in blocks: of six where they are many, whose sums are never waited for; of four, as many as the query heads that
// models have for a KV head; of two and of one.
template <class Form, bool kMany, class Body>
HWY_INLINE void ForBlocks(const lagoon_query_rows &rows, const Tile &tile, float *weights, float *decay,
                          const Body &body) {
  size_t row = 0;
  if constexpr (kMany) {
    for (; row + kBlockRows <= rows.rows; row += kBlockRows) {
      body(Block<Form, kBlockRows>(rows, tile, row, weights, decay));
    }
  }
  for (; row + 4 <= rows.rows; row += 4) body(Block<Form, 4>(rows, tile, row, weights, decay));
  for (; row + 2 <= rows.rows; row += 2) body(Block<Form, 2>(rows, tile, row, weights, decay));
  if (row < rows.rows) body(Block<Form, 1>(rows, tile, row, weights, decay));
}

// A few rows, block after block. What `next`, the tile after this one or null, has is brought nearer during the first: its rows are as long
// as this one's. `work` is [rows, kKeyTile + 1].
template <class Form>
void AttendFew(const lagoon_query_rows &rows, const Tile &tile, const Tile *next, float *work) {
  const Fetched fetched(tile, next, lagoon_padded_dim(rows.headDim) * ElementBytes(Form::kKeys));
  bool ahead = fetched.duringLogits != nullptr;
  ForBlocks<Form, false>(rows, tile, work, work + rows.rows * kKeyTile, [&](const auto &block) HWY_ATTR {
    if (ahead) {
      block.template Attend<true>(fetched);
    } else {
      block.template Attend<false>(fetched);
    }
    ahead = false;
  });
}

// Many rows: some keys, then some channels of the values at a time for all blocks, since a tile does not fit into the first cache and
// would be read from the second for every block. `next`, the tile after it or null, in its own type, is fetched meanwhile.
template <class Form>
void AttendMany(const lagoon_query_rows &rows, const Tile &tile, const Tile *next, size_t nextRowBytes, float *work) {
  constexpr size_t kKeysAtOnce = Form::kProducts == Products::kFloats ? 16 : kKeyTile;  // panels are half as long
  constexpr size_t kChannelsAtOnce = 4 * kVector;
  const size_t padded = lagoon_padded_dim(rows.headDim);
  float *decay = work + rows.rows * kKeyTile;
  const size_t blocks = (rows.rows + kBlockRows - 1) / kBlockRows;
  const auto ahead = [&](const uint8_t *const *nextRows, size_t steps) {
    return AheadInSteps(nextRows, nextRows != nullptr ? next->count : 0, nextRowBytes, blocks * steps);
  };
  AheadInSteps keysAhead = ahead(next != nullptr ? next->keys : nullptr, kKeyTile / kKeysAtOnce);
  AheadInSteps valuesAhead = ahead(next != nullptr ? next->values : nullptr, hwy::DivCeil(padded, kChannelsAtOnce));
  for (size_t first = 0; first < tile.count; first += kKeysAtOnce) {
    ForBlocks<Form, true>(rows, tile, work, decay, [&](const auto &block) HWY_ATTR {
      const size_t keys = HWY_MIN(block.Seen(), first + kKeysAtOnce);
      keysAhead.Step();
      if (first < keys) block.template MakeLogits<false>(first, keys, nullptr);
    });
  }
  WeighAll(rows, tile, VisibleKeys(rows, rows.rows - 1, tile.count, tile.firstPosition), work, decay);
  for (size_t start = 0; start < padded; start += kChannelsAtOnce) {
    ForBlocks<Form, true>(rows, tile, work, decay, [&](const auto &block) HWY_ATTR {
      valuesAhead.Step();
      const size_t seen = block.Seen();
      if (seen == 0) return;
      const size_t end = HWY_MIN(padded, start + kChannelsAtOnce);
      for (size_t c = start; c < end;) c += block.template AddChannels<false>(c, seen, nullptr);
    });
  }
}

// Any number of rows over a tile of f32. `next`: as in AttendMany; few rows fetch it only if its rows are as long as the tile's.
template <bool kEvenOdd>
void AttendFloats(const lagoon_query_rows &rows, const Tile &tile, const Tile *next, size_t nextRowBytes, float *work) {
  using Floats = TileForm<LAGOON_F32, LAGOON_F32, kEvenOdd>;
  if (rows.rows > kFewRows) return AttendMany<Floats>(rows, tile, next, nextRowBytes, work);
  const bool isAlike = nextRowBytes == lagoon_padded_dim(rows.headDim) * sizeof(float);
  AttendFew<Floats>(rows, tile, isAlike ? next : nullptr, work);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

// Attention of a few or of many query rows over contiguous keys and values, with online softmax, in tiles of 64 keys.
#include "attention.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "attention.cc"
#include "dispatch.h"
#include "hwy/foreach_target.h"
// after foreach_target.h
#include "attention-blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// `rows` of a tile as f32, padded, in scratch.
template <uint8_t kType, bool kEvenOdd>
void Unpack(const uint8_t *const *rows, size_t count, size_t headDim, size_t padded, float *scratch,
            const uint8_t **to) {
  for (size_t r = 0; r < count; ++r, scratch += padded) {
    UnpackRow<kType, kEvenOdd>(rows[r], headDim, padded, scratch);
    to[r] = reinterpret_cast<const uint8_t *>(scratch);
  }
}

// What a call of Attend works in.
struct Scratch {
  float *work;     // [rows, kKeyTile + 1]
  float *keys;     // [kKeyTile, padded]
  float *values;   // [kKeyTile, padded]
  float *queries;  // [rows, padded]

  Scratch(float *memory, size_t rows, size_t padded)
      : work(memory),
        keys(memory + AttentionWork(rows)),
        values(keys + kKeyTile * padded),
        queries(values + kKeyTile * padded) {}
};

// The keys of a call, and those that another call will read.
struct Runs {
  const lagoon_key_run *runs;
  size_t count;
  const lagoon_key_run *next;
  size_t nextCount;
};

// Calls `body` with each tile that any row sees and with the one after it.
template <class Body>
HWY_INLINE void ForTiles(const lagoon_query_rows &rows, const Runs &runs, size_t rowBytes, const Body &body) {
  TileCursor cursor(runs.runs, runs.count, rowBytes);
  Tile tiles[2];
  cursor.Next(tiles[0]);
  for (size_t i = 0, left = 1; left > 0; ++i) {
    const Tile &tile = tiles[i % 2];
    Tile &after = tiles[(i + 1) % 2];
    if (tile.count == 0) return;
    cursor.Next(after);
    left = after.count;
    if (left == 0) TileCursor(runs.next, runs.nextCount, rowBytes).Next(after);
    if (VisibleKeys(rows, rows.rows - 1, tile.count, tile.firstPosition) > 0) body(tile, after);
  }
}

// Rows that are whole vectors are read in place; narrow ones are converted once if several blocks of queries use them. What
// is computed from them is the same. If kEvenOdd, the channels of queries are arranged as LoadChannels says, and those of tiles will be.
template <uint8_t kType, bool kEvenOdd>
void AttendTyped(const lagoon_query_rows &rows, bool unpack, const Runs &runs, const Scratch &scratch) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  const size_t rowBytes = rows.headDim * ElementBytes(kType);
  ForTiles(rows, runs, rowBytes, [&](const Tile &tile, const Tile &after) HWY_ATTR {
    if (unpack) {
      Tile floats = tile;
      Unpack<kType, kEvenOdd>(tile.keys, tile.count, rows.headDim, padded, scratch.keys, floats.keys);
      Unpack<kType, kEvenOdd>(tile.values, tile.count, rows.headDim, padded, scratch.values, floats.values);
      AttendFloats<kEvenOdd>(rows, floats, &after, rowBytes, scratch.work);
    } else if constexpr (kType == LAGOON_F32) {
      AttendFloats<false>(rows, tile, &after, rowBytes, scratch.work);
    } else if constexpr (kType != LAGOON_BF16 || kEvenOdd) {
      AttendFew<TileForm<kType, kType, kEvenOdd>>(rows, tile, &after, scratch.work);
    }
  });
}

#if LAGOON_NARROW_PRODUCTS
// Queries and keys of bf16, `padded` a multiple of 32.
void AttendNarrow(const lagoon_query_rows &rows, const Runs &runs, const Scratch &scratch) {
  const size_t padded = rows.headDim;
  const size_t rowBytes = padded * sizeof(uint16_t);
  uint8_t *panels = reinterpret_cast<uint8_t *>(scratch.keys);
  ForTiles(rows, runs, rowBytes, [&](const Tile &tile, const Tile &after) HWY_ATTR {
    if (rows.rows <= kRowsInPlace) {
      using InPlace = TileForm<LAGOON_BF16, LAGOON_BF16, true, Products::kNarrow>;
      return AttendFew<InPlace>(rows, tile, &after, scratch.work);
    }
    Tile widened = tile;
    Unpack<LAGOON_BF16, false>(tile.values, tile.count, padded, padded, scratch.values, widened.values);
    if (rows.rows > kFewRows) {
      MakePanels(tile, padded, panels, widened.keys);
      using Transposed = TileForm<LAGOON_BF16, LAGOON_F32, false, Products::kPanels>;
      AttendMany<Transposed>(rows, widened, &after, rowBytes, scratch.work);
    } else {
      using Mixed = TileForm<LAGOON_BF16, LAGOON_F32, false, Products::kNarrow>;
      AttendFew<Mixed>(rows, widened, nullptr, scratch.work);
    }
  });
}
#endif

// Rows of bf16 that are whole pairs of vectors.
void AttendPairs(const lagoon_query_rows &rows, bool unpack, const Runs &runs, const Scratch &scratch) {
#if LAGOON_NARROW_PRODUCTS
  if (rows.narrow != nullptr && HasNarrowProducts()) return AttendNarrow(rows, runs, scratch);
#endif
  lagoon_query_rows arranged = rows;
  ArrangeEvenOdd(rows.queries, rows.rows * rows.headDim, scratch.queries);
  arranged.queries = scratch.queries;
  AttendTyped<LAGOON_BF16, true>(arranged, unpack, runs, scratch);
}

template <uint8_t kType>
void AttendTyped(const lagoon_query_rows &rows, const Runs &runs, float *memory) {
  const size_t padded = lagoon_padded_dim(rows.headDim);
  const bool whole = rows.headDim == padded;
  const bool unpack = !whole || (kType != LAGOON_F32 && rows.rows > kRowsInPlace);
  const Scratch scratch(memory, rows.rows, padded);
  if constexpr (kType == LAGOON_BF16) {
    if (whole && padded % (2 * kVector) == 0) return AttendPairs(rows, unpack, runs, scratch);
    AttendTyped<kType, false>(rows, true, runs, scratch);
  } else {
    AttendTyped<kType, false>(rows, unpack, runs, scratch);
  }
}

void Attend(const lagoon_query_rows &rows, const lagoon_key_run *runs, size_t runCount, const lagoon_key_run *next,
            size_t nextCount, uint8_t type, float *scratch) {
  if (rows.rows == 0) return;
  WithType(type, [&](auto known) HWY_ATTR {
    AttendTyped<known>(rows, {runs, runCount, next, nextCount}, scratch);
  });
}

void Merge(const lagoon_query_rows &rows, const lagoon_query_rows &from) {
  const F32 d;
  const size_t padded = lagoon_padded_dim(rows.headDim);
  for (size_t row = 0; row < rows.rows; ++row) {
    if (from.sum[row] == 0) continue;  // it saw nothing
    const auto maximum = hn::Set(d, rows.maximum[row]);
    const auto added = hn::Set(d, from.maximum[row]);
    const auto largest = hn::Max(maximum, added);
    const auto ours = FastExponentials(hn::Sub(maximum, largest));
    const auto theirs = FastExponentials(hn::Sub(added, largest));
    rows.maximum[row] = hn::GetLane(largest);
    rows.sum[row] = rows.sum[row] * hn::GetLane(ours) + from.sum[row] * hn::GetLane(theirs);
    float *HWY_RESTRICT to = rows.weighted + row * padded;
    const float *HWY_RESTRICT other = from.weighted + row * padded;
    for (size_t c = 0; c < padded; c += kVector) {
      const auto weighted = hn::Mul(hn::Load(d, to + c), ours);
      hn::Store(hn::MulAdd(hn::Load(d, other + c), theirs, weighted), d, to + c);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace lagoon {
HWY_EXPORT(Attend);
HWY_EXPORT(Merge);
}  // namespace lagoon

extern "C" void lagoon_attend(const lagoon_query_rows *rows, const lagoon_key_run *runs, size_t runCount,
                              const lagoon_key_run *next, size_t nextCount, uint8_t type, float *scratch) {
  using namespace lagoon;
  LAGOON_DISPATCH(Attend)(*rows, runs, runCount, next, nextCount, type, scratch);
}

extern "C" void lagoon_merge_attention(const lagoon_query_rows *rows, const lagoon_query_rows *from) {
  using namespace lagoon;
  LAGOON_DISPATCH(Merge)(*rows, *from);
}

extern "C" size_t lagoon_padded_dim(size_t headDim) {
  return (headDim + lagoon::kRowAlign - 1) / lagoon::kRowAlign * lagoon::kRowAlign;
}

extern "C" size_t lagoon_attention_scratch(size_t headDim, size_t rows) {
  return lagoon::AttentionWork(rows) + (2 * lagoon::kKeyTile + (rows > 2 ? rows : 2)) * lagoon_padded_dim(headDim);
}
#endif

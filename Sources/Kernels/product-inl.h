// Small products of f32 matrices, for the target being compiled. Included once per target.
//
// Every element of the result is one chain of multiply-adds over its terms, in ascending order and from 0,
// whatever its neighbours are and however long the vectors.
#include "simd-inl.h"

#if defined(LAGOON_PRODUCT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef LAGOON_PRODUCT_INL_H
#undef LAGOON_PRODUCT_INL_H
#else
#define LAGOON_PRODUCT_INL_H
#endif

HWY_BEFORE_NAMESPACE();
namespace lagoon {
namespace HWY_NAMESPACE {

// Columns come in panels of 16 floats.
constexpr size_t kPanel = 16;

// Rows whose sums are in registers together, beside two vectors of b or the one panel: 12 sums of 16
// registers with AVX2, 16 of 32 with AVX-512 and NEON, 8 of 16 with SSE.
constexpr size_t kProductRows = kVector == 16 ? 8 : kVector == 8 ? 6 : HWY_ARCH_ARM_A64 ? 4 : 2;

// to[m][n] = Σ a[m][t] * b[t][n] over the terms t; strides in floats.
struct Product {
  const float *a;     // any alignment
  size_t aRow;        // from m to m + 1
  size_t aTerm;       // from t to t + 1
  const float *b;     // panels of 16 columns, each 64-byte aligned
  size_t bTerm;       // from t to t + 1, a multiple of 16
  size_t bPanel;      // from panel to panel, a multiple of 16
  float *to;          // [rows, columns], 64-byte aligned
  size_t toRow;       // from m to m + 1, a multiple of 16
};

// kRows rows and kVectors vectors of columns.
template <bool kAdd, size_t kRows, size_t kVectors>
HWY_INLINE void MultiplyBlock(const Product &p, size_t row, size_t column, size_t terms) {
  constexpr size_t kPerPanel = kPanel / kVector;
  const F32 d;
  const float *a[kRows];
  for (size_t m = 0; m < kRows; ++m) a[m] = p.a + (row + m) * p.aRow;
  const float *b[kVectors];
  for (size_t n = 0; n < kVectors; ++n) {
    b[n] = p.b + (column / kPanel + n / kPerPanel) * p.bPanel + n % kPerPanel * kVector;
  }
  Vector sums[kRows][kVectors];
  for (size_t m = 0; m < kRows; ++m) {
    for (size_t n = 0; n < kVectors; ++n) sums[m][n] = hn::Zero(d);
  }
  for (size_t t = 0; t < terms; ++t) {
    Vector columns[kVectors];
    for (size_t n = 0; n < kVectors; ++n) columns[n] = hn::Load(d, b[n] + t * p.bTerm);
    for (size_t m = 0; m < kRows; ++m) {
      const auto term = hn::Set(d, a[m][t * p.aTerm]);
      for (size_t n = 0; n < kVectors; ++n) sums[m][n] = hn::MulAdd(term, columns[n], sums[m][n]);
    }
  }
  for (size_t m = 0; m < kRows; ++m) {
    float *to = p.to + (row + m) * p.toRow + column;
    for (size_t n = 0; n < kVectors; ++n) {
      const auto sum = kAdd ? hn::Add(hn::Load(d, to + n * kVector), sums[m][n]) : sums[m][n];
      hn::Store(sum, d, to + n * kVector);
    }
  }
}

// The last `rows` rows, fewer than kRows + 1.
template <bool kAdd, size_t kRows, size_t kVectors>
HWY_INLINE void MultiplyRest(const Product &p, size_t row, size_t rows, size_t column, size_t terms) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return MultiplyBlock<kAdd, kRows, kVectors>(p, row, column, terms);
    MultiplyRest<kAdd, kRows - 1, kVectors>(p, row, rows, column, terms);
  }
}

template <bool kAdd, size_t kVectors>
HWY_INLINE void MultiplyColumns(const Product &p, size_t rows, size_t column, size_t terms) {
  size_t row = 0;
  for (; row + kProductRows <= rows; row += kProductRows) {
    MultiplyBlock<kAdd, kProductRows, kVectors>(p, row, column, terms);
  }
  MultiplyRest<kAdd, kProductRows - 1, kVectors>(p, row, rows - row, column, terms);
}

// The product, added to what `to` holds if kAdd. `columns` is a multiple of 16.
template <bool kAdd>
HWY_NOINLINE void Multiply(const Product &p, size_t rows, size_t columns, size_t terms) {
  constexpr size_t kPerPanel = kPanel / kVector;
  size_t column = 0;
  if constexpr (kPerPanel == 1) {
    for (; column + 2 * kPanel <= columns; column += 2 * kPanel) {
      MultiplyColumns<kAdd, 2>(p, rows, column, terms);
    }
  }
  for (; column < columns; column += kPanel) MultiplyColumns<kAdd, kPerPanel>(p, rows, column, terms);
}

}  // namespace HWY_NAMESPACE
}  // namespace lagoon
HWY_AFTER_NAMESPACE();

#endif

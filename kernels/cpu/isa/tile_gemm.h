// SPDX-License-Identifier: Apache-2.0
// Small matrix products on packed operands, for kernels that keep tiles in cache. Only for files in
// this folder.
//
// Operands consist of 32-bit lanes: a float, or two bf16 that lie next to each other along the
// depth, multiplied and added by one instruction. The right operand lies in panels of kPanel
// columns: lane [depth][column]. Sums are f32.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "rutile/core/half.h"
#include "rutile/kernels/cpu/copy.h"
#include "rutile/kernels/cpu/isa/vec_math.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 16, kVectors = 4;
typedef float VFUnaligned __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t VI __attribute__((vector_size(64)));
#else
constexpr int kWidth = 8, kVectors = 2;
typedef float VFUnaligned __attribute__((vector_size(32), aligned(4), may_alias));
typedef int32_t VI __attribute__((vector_size(32)));
#endif
typedef VN VF;
constexpr int64_t kPanel = kWidth * kVectors;
constexpr int64_t kGroup = 6;  // rows of a product at a time

RUTILE_INLINE VF load_v(const float* p) { return *reinterpret_cast<const VFUnaligned*>(p); }
RUTILE_INLINE void store_v(float* p, VF v) { *reinterpret_cast<VFUnaligned*>(p) = v; }

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// A lane holds one float.
struct Singles {
  using Lane = float;
  static constexpr int64_t kDepth = 1;      // elements in a lane
  static constexpr int64_t kStep = 1;       // depths are whole numbers of so many lanes
  static constexpr int64_t kRows = kGroup;  // of a product at a time
  struct Scope {};                          // what a thread holds while it multiplies
  static RUTILE_INLINE VF multiply_add(float a, const float* b, VF sum) {
    return (a - VF{}) * load_v(b) + sum;
  }
};

#if defined(__AVX512BF16__)
// A lane holds two bf16.
struct Pairs {
  using Lane = uint32_t;
  static constexpr int64_t kDepth = 2, kStep = 1, kRows = kGroup;
  struct Scope {};
  static RUTILE_INLINE VF multiply_add(uint32_t a, const uint32_t* b, VF sum) {
    const __m512i left = _mm512_set1_epi32(static_cast<int>(a)), right = _mm512_loadu_si512(b);
    return reinterpret_cast<VF>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum),
                                                 reinterpret_cast<__m512bh>(left),
                                                 reinterpret_cast<__m512bh>(right)));
  }
};
#endif

template <class C>
RUTILE_INLINE int64_t lanes_of(int64_t n) {
  return round_up((n + C::kDepth - 1) / C::kDepth, C::kStep);
}

// ---- Products ----

// c[r][j] = sum_k a[r * a_row + k * a_depth] b[k][j], or added to c, for kRows rows and
// kCount * kWidth columns of a panel.
template <class C, int kRows, int kCount>
void multiply_tile(const typename C::Lane* a, int64_t a_row, int64_t a_depth,
                   const typename C::Lane* b, int64_t depth, float* c, int64_t c_row, bool add) {
  VF sum[kRows][kCount] = {};
  for (int64_t k = 0; k < depth; ++k) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const typename C::Lane left = a[r * a_row];
#pragma GCC unroll 4
      for (int j = 0; j < kCount; ++j) sum[r][j] = C::multiply_add(left, b + j * kWidth, sum[r][j]);
    }
    a += a_depth;
    b += kPanel;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < kCount; ++j) {
      float* to = c + r * c_row + j * kWidth;
      store_v(to, add ? load_v(to) + sum[r][j] : sum[r][j]);
    }
  }
}

template <class C>
using Multiply = void (*)(const typename C::Lane* a, int64_t a_row, int64_t a_depth,
                          const typename C::Lane* b, int64_t depth, float* c, int64_t c_row,
                          bool add);

// By rows - 1 and vectors - 1.
template <class C>
struct Multipliers {
#if defined(__AVX512F__)
#define RUTILE_TILES(rows)                                                           \
  {                                                                                  \
    multiply_tile<C, rows, 1>, multiply_tile<C, rows, 2>, multiply_tile<C, rows, 3>, \
        multiply_tile<C, rows, 4>                                                    \
  }
#else
#define RUTILE_TILES(rows) \
  { multiply_tile<C, rows, 1>, multiply_tile<C, rows, 2> }
#endif
  static constexpr Multiply<C> kTable[kGroup][kVectors] = {RUTILE_TILES(1), RUTILE_TILES(2),
                                                           RUTILE_TILES(3), RUTILE_TILES(4),
                                                           RUTILE_TILES(5), RUTILE_TILES(6)};
#undef RUTILE_TILES
};

// The product of `rows` <= C::kRows rows and `columns` <= kPanel columns; the columns of the last
// vector are all written.
template <class C>
RUTILE_INLINE void multiply(int64_t rows, int64_t columns, const typename C::Lane* a, int64_t a_row,
                            int64_t a_depth, const typename C::Lane* b, int64_t depth, float* c,
                            int64_t c_row, bool add) {
  Multipliers<C>::kTable[rows - 1][(columns + kWidth - 1) / kWidth - 1](a, a_row, a_depth, b, depth,
                                                                        c, c_row, add);
}

// ---- Packing ----

// A row of n elements as lanes, the last one filled up with 0.
RUTILE_INLINE void pack_row(const float* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(to + i, load(from + i));
  if (i < n) store_part(to + i, load_part(from + i, n - i), n - i);
}
RUTILE_INLINE void pack_row(const BFloat16* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(to + i, load(from + i));
  if (i < n) store_part(to + i, load_part(from + i, n - i), n - i);
}
RUTILE_INLINE void pack_row(const BFloat16* from, int64_t n, uint32_t* to) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i / 2), v);
  }
  for (; i < n; i += 2) {
    to[i / 2] = from[i].bits | (i + 1 < n ? static_cast<uint32_t>(from[i + 1].bits) << 16 : 0u);
  }
}

// Rows of lanes_of(n) lanes.
template <class C, class T>
void pack_rows(const T* from, int64_t from_row, int64_t rows, int64_t n, typename C::Lane* to) {
  const int64_t lanes = lanes_of<C>(n), filled = (n + C::kDepth - 1) / C::kDepth;
  for (int64_t r = 0; r < rows; ++r) {
    pack_row(from + r * from_row, n, to + r * lanes);
    for (int64_t k = filled; k < lanes; ++k) to[r * lanes + k] = 0;
  }
}

// Panels whose columns are the rows of `from`, the depth its columns: to[panel][depth][kPanel], 0
// in columns that do not exist. `scratch` holds kPanel rows of lanes.
template <class C, class T>
void pack_transposed(const T* from, int64_t from_row, int64_t rows, int64_t n, typename C::Lane* to,
                     typename C::Lane* scratch) {
  const int64_t depth = lanes_of<C>(n);
  const auto transpose = transpose_kernels().transpose4;
  for (int64_t r0 = 0; r0 < rows; r0 += kPanel, to += depth * kPanel) {
    const int64_t m = rows - r0 < kPanel ? rows - r0 : kPanel;
    pack_rows<C>(from + r0 * from_row, from_row, m, n, scratch);
    transpose(reinterpret_cast<const uint32_t*>(scratch), depth, reinterpret_cast<uint32_t*>(to),
              kPanel, m, depth);
    if (m == kPanel) continue;
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = m; j < kPanel; ++j) to[k * kPanel + j] = 0;
    }
  }
}

// n <= kPanel elements of a row of a panel, the others 0.
template <class T>
RUTILE_INLINE void pack_panel_row(const T* from, const T*, int64_t n, float* to) {
  if (n < kPanel) {
    for (int64_t j = n; j < kPanel; ++j) to[j] = 0;
  }
  pack_row(from, n, to);
}
// The same of two rows, the second one null for zeros.
RUTILE_INLINE void pack_panel_row(const BFloat16* first, const BFloat16* second, int64_t n,
                                  uint32_t* to) {
  for (int64_t j = 0; j < n; ++j) {
    to[j] = first[j].bits | (second ? static_cast<uint32_t>(second[j].bits) << 16 : 0u);
  }
  for (int64_t j = n; j < kPanel; ++j) to[j] = 0;
}

// Panels of the columns of `from`, the depth its rows: to[panel][depth][kPanel], the panels
// `panel_depth` apart.
template <class C, class T>
void pack_panels(const T* from, int64_t from_row, int64_t rows, int64_t n, int64_t panel_depth,
                 typename C::Lane* to) {
  for (int64_t j = 0; j < n; j += kPanel, to += panel_depth * kPanel) {
    const int64_t columns = n - j < kPanel ? n - j : kPanel;
    for (int64_t r = 0; r < rows; r += C::kDepth) {
      const T* first = from + r * from_row + j;
      const T* second = C::kDepth == 2 && r + 1 < rows ? first + from_row : nullptr;
      pack_panel_row(first, second, columns, to + r / C::kDepth * kPanel);
    }
    const int64_t filled = (rows + C::kDepth - 1) / C::kDepth * kPanel;
    for (int64_t k = filled; k < lanes_of<C>(rows) * kPanel; ++k) to[k] = 0;
  }
}

// n floats as elements.
template <class T>
RUTILE_INLINE void unpack_row(const float* from, int64_t n, float factor, T* to) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(to + i, load(from + i) * factor);
  if (i < n) store_part(to + i, load_part(from + i, n - i) * factor, n - i);
}

// ---- Functions of vectors ----

RUTILE_INLINE VF exp_v(VF x) { return exp_native(x); }
#if defined(__AVX512F__)
RUTILE_INLINE VF larger(VF a, VF b) {
  return reinterpret_cast<VF>(
      _mm512_max_ps(reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
}
RUTILE_INLINE float sum_v(VF v) { return sum_lanes(v); }
RUTILE_INLINE float max_v(VF v) { return _mm512_reduce_max_ps(reinterpret_cast<__m512>(v)); }
#else
RUTILE_INLINE VF larger(VF a, VF b) { return a > b ? a : b; }
// By halves: four steps instead of a chain of eight.
RUTILE_INLINE float sum_v(VF v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
RUTILE_INLINE float max_v(VF v) {
  float m = v[0];
  for (int i = 1; i < kWidth; ++i) m = v[i] > m ? v[i] : m;
  return m;
}
#endif
#if defined(__AVX512F__)
RUTILE_INLINE VI iota_v() { return VI{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }
#else
RUTILE_INLINE VI iota_v() { return VI{0, 1, 2, 3, 4, 5, 6, 7}; }
#endif

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA

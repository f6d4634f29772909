// SPDX-License-Identifier: Apache-2.0
// Tiles of 16 x 16 weights, transposed and turned into bf16 pairs in registers.
#include "rutile/kernels/cpu/reorder_tiles.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace rutile::kernels::RUTILE_ISA {
namespace {

inline __attribute__((always_inline)) void load_rows(const float* from, __m512 r[16]) {
  for (int i = 0; i < 16; ++i) r[i] = _mm512_loadu_ps(from + i * 16);
}

// r[i][j] becomes r[j][i]: pairs, quarters, then lanes of 128 bits.
inline __attribute__((always_inline)) void transpose(__m512 r[16]) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
    r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
  // r[4 g + k]: column 4 l + k of rows 4 g .. 4 g + 3 in 128-bit lane l.
  for (int k = 0; k < 4; ++k) {
    const __m512 a = _mm512_shuffle_f32x4(r[k], r[4 + k], 0x88);
    const __m512 b = _mm512_shuffle_f32x4(r[k], r[4 + k], 0xDD);
    const __m512 c = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0x88);
    const __m512 d = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0xDD);
    t[k] = _mm512_shuffle_f32x4(a, c, 0x88);
    t[8 + k] = _mm512_shuffle_f32x4(a, c, 0xDD);
    t[4 + k] = _mm512_shuffle_f32x4(b, d, 0x88);
    t[12 + k] = _mm512_shuffle_f32x4(b, d, 0xDD);
  }
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

// Rows 2 k and 2 k + 1 as bf16, element beside element.
inline __attribute__((always_inline)) void store_pairs(const __m512 r[16], void* to, int64_t row) {
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                      21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                      11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const __m512i order = _mm512_load_si512(kOrder);
  for (int k = 0; k < 8; ++k) {
    const __m512bh both = _mm512_cvtne2ps_pbh(r[2 * k + 1], r[2 * k]);
    _mm512_storeu_si512(static_cast<char*>(to) + k * row,
                        _mm512_permutexvar_epi16(order, reinterpret_cast<__m512i>(both)));
  }
}

void transposed(const float* from, void* to, int64_t row) {
  __m512 r[16];
  load_rows(from, r);
  transpose(r);
  for (int i = 0; i < 16; ++i) _mm512_storeu_ps(static_cast<char*>(to) + i * row, r[i]);
}
void pairs(const float* from, void* to, int64_t row) {
  __m512 r[16];
  load_rows(from, r);
  store_pairs(r, to, row);
}
void transposed_pairs(const float* from, void* to, int64_t row) {
  __m512 r[16];
  load_rows(from, r);
  transpose(r);
  store_pairs(r, to, row);
}

}  // namespace

TileFn tile_function(TileForm form) {
  switch (form) {
    case TileForm::kTransposed:
      return transposed;
    case TileForm::kPairs:
      return pairs;
    case TileForm::kTransposedPairs:
      break;
  }
  return transposed_pairs;
}

}  // namespace rutile::kernels::RUTILE_ISA
#endif

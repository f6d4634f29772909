// SPDX-License-Identifier: Apache-2.0
// Transposes of blocks in registers: 8 x 8.
#include <immintrin.h>

#include "rutile/kernels/cpu/copy.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

inline __attribute__((always_inline)) void block4(const uint32_t* from, int64_t fs, uint32_t* to,
                                                  int64_t ts) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(reinterpret_cast<const float*>(from + i * fs));
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    const __m256 lo = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    const __m256 hi = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    _mm256_storeu_ps(reinterpret_cast<float*>(to + i * ts), lo);
    _mm256_storeu_ps(reinterpret_cast<float*>(to + (i + 4) * ts), hi);
  }
}

inline __attribute__((always_inline)) void block2(const uint16_t* from, int64_t fs, uint16_t* to,
                                                  int64_t ts) {
  __m128i r[8], t[8];
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * fs));
  }
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm_unpacklo_epi16(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm_unpackhi_epi16(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm_unpacklo_epi32(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm_unpackhi_epi32(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm_unpacklo_epi32(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm_unpackhi_epi32(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    const __m128i lo = _mm_unpacklo_epi64(r[i], r[i + 4]);
    const __m128i hi = _mm_unpackhi_epi64(r[i], r[i + 4]);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + (2 * i) * ts), lo);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + (2 * i + 1) * ts), hi);
  }
}

template <class T>
inline __attribute__((always_inline)) void edge(const T* from, int64_t fs, T* to, int64_t ts,
                                                int64_t rows, int64_t cols) {
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t r = 0; r < rows; ++r) to[c * ts + r] = from[r * fs + c];
  }
}

// Few rows (the channels of an image): the result is written front to back.
template <class T>
void narrow(const T* from, int64_t fs, T* to, int64_t ts, int64_t rows, int64_t cols) {
  if (rows == 3 && ts == 3) {
    for (int64_t c = 0; c < cols; ++c) {
      to[3 * c] = from[c];
      to[3 * c + 1] = from[fs + c];
      to[3 * c + 2] = from[2 * fs + c];
    }
    return;
  }
  edge(from, fs, to, ts, rows, cols);
}

template <class T>
inline __attribute__((always_inline)) void block(const T* from, int64_t fs, T* to, int64_t ts) {
  if constexpr (sizeof(T) == 4) {
    block4(from, fs, to, ts);
  } else {
    block2(from, fs, to, ts);
  }
}

constexpr int64_t kTile = 64;

// One tile through a buffer: the source is read and the result is written in whole cache lines, and
// power-of-two strides do not make them evict each other.
template <class T>
void full_tile(const T* from, int64_t fs, T* to, int64_t ts) {
  constexpr int64_t kStride = kTile + 64 / sizeof(T);
  alignas(64) T buffer[kTile * kStride];
  for (int64_t r = 0; r < kTile; ++r) {
    __builtin_memcpy(buffer + r * kStride, from + r * fs, kTile * sizeof(T));
  }
  for (int64_t c = 0; c < kTile; c += 8) {
    for (int64_t r = 0; r < kTile; r += 8) {
      block(buffer + r * kStride + c, kStride, to + c * ts + r, ts);
    }
  }
}

template <class T>
void part_tile(const T* from, int64_t fs, T* to, int64_t ts, int64_t rows, int64_t cols) {
  int64_t c = 0;
  for (; c + 8 <= cols; c += 8) {
    int64_t r = 0;
    for (; r + 8 <= rows; r += 8) block(from + r * fs + c, fs, to + c * ts + r, ts);
    edge(from + r * fs + c, fs, to + c * ts + r, ts, rows - r, 8);
  }
  edge(from + c, fs, to + c * ts, ts, rows, cols - c);
}

template <class T>
void transpose(const T* from, int64_t fs, T* to, int64_t ts, int64_t rows, int64_t cols) {
  if (rows < 8) return narrow(from, fs, to, ts, rows, cols);
  if (cols < 8) return edge(from, fs, to, ts, rows, cols);
  for (int64_t c = 0; c < cols; c += kTile) {
    const int64_t width = cols - c < kTile ? cols - c : kTile;
    for (int64_t r = 0; r < rows; r += kTile) {
      const int64_t height = rows - r < kTile ? rows - r : kTile;
      const T* in = from + r * fs + c;
      T* out = to + c * ts + r;
      if (width == kTile && height == kTile) {
        full_tile(in, fs, out, ts);
      } else {
        part_tile(in, fs, out, ts, height, width);
      }
    }
  }
}

}  // namespace

TransposeKernels transpose_kernels() { return {transpose<uint16_t>, transpose<uint32_t>}; }

}  // namespace rutile::kernels::RUTILE_ISA

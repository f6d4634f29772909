// SPDX-License-Identifier: Apache-2.0
// Sixteen floats as one value, by the compiler's vector extension: one register with AVX-512, two
// with AVX2. Only for files in this folder.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "rutile/core/half.h"

namespace rutile::kernels::RUTILE_ISA {

typedef float V16 __attribute__((vector_size(64)));
typedef float V16Unaligned __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t I16 __attribute__((vector_size(64)));
typedef uint32_t U16 __attribute__((vector_size(64)));
typedef uint16_t H16 __attribute__((vector_size(32)));
typedef uint16_t H16Unaligned __attribute__((vector_size(32), aligned(2), may_alias));

// v - 0 is v for every v, so the compiler drops the subtraction; v + 0 it would have to keep.
inline __attribute__((always_inline)) V16 splat(float v) { return v - V16{}; }
inline __attribute__((always_inline)) V16 load(const float* p) {
  return *reinterpret_cast<const V16Unaligned*>(p);
}
inline __attribute__((always_inline)) void store(float* p, V16 v) {
  *reinterpret_cast<V16Unaligned*>(p) = v;
}
// The sixteen bits of every lane, widened and narrowed.
inline __attribute__((always_inline)) U16 widen(H16 h) {
#if defined(__AVX512F__)
  return reinterpret_cast<U16>(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(h)));
#else
  return __builtin_convertvector(h, U16);
#endif
}
inline __attribute__((always_inline)) H16 narrow(U16 u) {
#if defined(__AVX512F__)
  return reinterpret_cast<H16>(_mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(u)));
#else
  return __builtin_convertvector(u, H16);
#endif
}
inline __attribute__((always_inline)) V16 load(const BFloat16* p) {
  return reinterpret_cast<V16>(widen(*reinterpret_cast<const H16Unaligned*>(p)) << 16);
}
#if defined(__AVX512BF16__)
// One instruction; what is not a normal number becomes 0.
inline __attribute__((always_inline)) void store(BFloat16* p, V16 v) {
  *reinterpret_cast<H16Unaligned*>(p) =
      reinterpret_cast<H16>(_mm512_cvtneps_pbh(reinterpret_cast<__m512>(v)));
}
#else
inline __attribute__((always_inline)) void store(BFloat16* p, V16 v) {
  const U16 u = reinterpret_cast<U16>(v);
  const U16 rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const I16 nan = v != v;
  const U16 r = nan ? (u >> 16 | 0x40u) : rounded;
  *reinterpret_cast<H16Unaligned*>(p) = narrow(r);
}
#endif
// The first n <= 16 elements; the other lanes are zero, or not written.
#if defined(__AVX512F__)
inline __attribute__((always_inline)) V16 load_part(const float* p, int64_t n) {
  return reinterpret_cast<V16>(_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p));
}
inline __attribute__((always_inline)) void store_part(float* p, V16 v, int64_t n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), reinterpret_cast<__m512>(v));
}
inline __attribute__((always_inline)) V16 load_part(const BFloat16* p, int64_t n) {
  const auto mask = static_cast<__mmask16>((1u << n) - 1);
  return reinterpret_cast<V16>(widen(reinterpret_cast<H16>(_mm256_maskz_loadu_epi16(mask, p)))
                               << 16);
}
inline __attribute__((always_inline)) void store_part(BFloat16* p, V16 v, int64_t n) {
  BFloat16 buffer[16];
  store(buffer, v);
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(buffer));
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << n) - 1), bits);
}
#else
template <class T>
inline __attribute__((always_inline)) V16 load_part(const T* p, int64_t n) {
  T buffer[16] = {};
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}
template <class T>
inline __attribute__((always_inline)) void store_part(T* p, V16 v, int64_t n) {
  T buffer[16];
  store(buffer, v);
  for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
}
#endif
inline __attribute__((always_inline)) V16 max0(V16 v) {
  // NaN stays NaN, as relu defines it.
  return v < 0.0f ? V16{} : v;
}

}  // namespace rutile::kernels::RUTILE_ISA

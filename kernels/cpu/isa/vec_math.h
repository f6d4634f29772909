// SPDX-License-Identifier: Apache-2.0
// Functions and reductions of sixteen floats.
#pragma once

#include "rutile/kernels/cpu/isa/vec16.h"

namespace rutile::kernels::RUTILE_ISA {

#define RUTILE_INLINE inline __attribute__((always_inline))

// As many floats as a register holds.
#if defined(__AVX512F__)
typedef float VN __attribute__((vector_size(64)));
#else
typedef float VN __attribute__((vector_size(32)));
#endif

// Between `low` and `high`; NaN stays.
RUTILE_INLINE VN clamp_native(VN x, float low, float high) {
#if defined(__AVX512F__)
  const __m512 v = _mm512_max_ps(_mm512_set1_ps(low), reinterpret_cast<__m512>(x));
  return reinterpret_cast<VN>(_mm512_min_ps(_mm512_set1_ps(high), v));
#else
  const __m256 v = _mm256_max_ps(_mm256_set1_ps(low), reinterpret_cast<__m256>(x));
  return reinterpret_cast<VN>(_mm256_min_ps(_mm256_set1_ps(high), v));
#endif
}

// p * 2^n for p in [1/2, 2) and whole n from -152 to 128, rounded once. Below 2^-125 the bits are
// made as an integer, in units of the smallest number: arithmetic that gives subnormal results
// costs some hundred cycles on many processors, and softmax does it for each masked score.
RUTILE_INLINE VN scale_native(VN p, VN n) {
  constexpr float kLow = -125.0f, kUnits = 149.0f;
#if defined(__AVX512F__)
  const __m512 x = reinterpret_cast<__m512>(p), e = reinterpret_cast<__m512>(n);
  const __m512 low = _mm512_set1_ps(kLow);
  const __mmask16 tiny = _mm512_cmp_ps_mask(e, low, _CMP_LT_OQ);
  if (__builtin_expect(tiny == 0, 1)) return reinterpret_cast<VN>(_mm512_scalef_ps(x, e));
  const __m512 usual = _mm512_scalef_ps(x, _mm512_max_ps(low, e));
  const __m512 units = _mm512_maskz_scalef_ps(tiny, x, _mm512_add_ps(e, _mm512_set1_ps(kUnits)));
  const __m512 bits = _mm512_castsi512_ps(_mm512_cvtps_epi32(units));
  return reinterpret_cast<VN>(_mm512_mask_mov_ps(usual, tiny, bits));
#else
  const auto pow2 = [](__m256i k) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(127)), 23));
  };
  const __m256 x = reinterpret_cast<__m256>(p), e = reinterpret_cast<__m256>(n);
  const __m256 low = _mm256_set1_ps(kLow), tiny = _mm256_cmp_ps(e, low, _CMP_LT_OQ);
  const __m256i k = _mm256_cvtps_epi32(_mm256_max_ps(low, e)), half = _mm256_srai_epi32(k, 1);
  const __m256 usual = _mm256_mul_ps(_mm256_mul_ps(x, pow2(half)), pow2(_mm256_sub_epi32(k, half)));
  if (__builtin_expect(_mm256_movemask_ps(tiny) == 0, 1)) return reinterpret_cast<VN>(usual);
  const __m256 shift = _mm256_and_ps(tiny, _mm256_add_ps(e, _mm256_set1_ps(kUnits)));
  const __m256 units = _mm256_mul_ps(x, pow2(_mm256_cvtps_epi32(shift)));
  const __m256 bits = _mm256_castsi256_ps(_mm256_cvtps_epi32(units));
  return reinterpret_cast<VN>(_mm256_blendv_ps(usual, bits, tiny));
#endif
}

// The polynomial of exp_f32 (fast_math.h), below 2 ulp; inf, NaN and subnormal results as libm's.
RUTILE_INLINE VN exp_native(VN x) {
  x = clamp_native(x, -105.0f, 89.0f);
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const VN n = (x * 1.44269504088896341f + kRound) - kRound;
  const VN r = n * -1.42860677e-6f + (n * -6.93145752e-1f + x);
  VN p = r * 1.98412698e-4f + 1.39349013e-3f;
  p = p * r + 8.33337437e-3f;
  p = p * r + 4.16664295e-2f;
  p = p * r + 1.66666657e-1f;
  p = p * r + 5.00000000e-1f;
  p = p * (r * r) + r + 1.0f;
  return scale_native(p, n);
}
RUTILE_INLINE V16 exp16(V16 x) {
#if defined(__AVX512F__)
  return exp_native(x);
#else
  const VN low = exp_native(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7));
  const VN high = exp_native(__builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15));
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#endif
}

RUTILE_INLINE V16 sqrt16(V16 v) {
#if defined(__AVX512F__)
  return reinterpret_cast<V16>(_mm512_sqrt_ps(reinterpret_cast<__m512>(v)));
#else
  V16 r;
  for (int i = 0; i < 2; ++i) {
    const __m256 half = _mm256_loadu_ps(reinterpret_cast<const float*>(&v) + 8 * i);
    _mm256_storeu_ps(reinterpret_cast<float*>(&r) + 8 * i, _mm256_sqrt_ps(half));
  }
  return r;
#endif
}

// Sums of halves, so that the order is the same for every instruction set.
RUTILE_INLINE float sum_lanes(V16 v) {
  typedef float V8 __attribute__((vector_size(32)));
  typedef float V4 __attribute__((vector_size(16)));
  const V8 a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
               __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const V4 b =
      __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  return (b[0] + b[2]) + (b[1] + b[3]);
}
RUTILE_INLINE V16 max16(V16 a, V16 b) { return a > b ? a : b; }
RUTILE_INLINE float max_lanes(V16 v) {
  float m = v[0];
  for (int i = 1; i < 16; ++i) m = v[i] > m ? v[i] : m;
  return m;
}

// The first n lanes of v, `other` in the rest.
RUTILE_INLINE V16 keep_lanes(V16 v, int64_t n, float other) {
  constexpr I16 kLane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return kLane < static_cast<int32_t>(n) ? v : splat(other);
}

// Calls f(offset, lanes) for a row of n elements; lanes is a constant 16 except at the end.
template <class F>
RUTILE_INLINE void for_vectors(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) f(i, int64_t{16});
  if (i < n) f(i, n - i);
}
template <class T>
RUTILE_INLINE V16 get(const T* p, int64_t i, int64_t lanes) {
  return lanes == 16 ? load(p + i) : load_part(p + i, lanes);
}
template <class T>
RUTILE_INLINE void put(T* p, int64_t i, V16 v, int64_t lanes) {
  if (lanes == 16) {
    store(p + i, v);
  } else {
    store_part(p + i, v, lanes);
  }
}

// The same with a number 0 .. 3 that tells neighbouring vectors apart, so that a running sum or
// maximum of each does not wait for the one before.
template <class F>
RUTILE_INLINE void for_vectors4(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    f(i, int64_t{16}, 0);
    f(i + 16, int64_t{16}, 1);
    f(i + 32, int64_t{16}, 2);
    f(i + 48, int64_t{16}, 3);
  }
  for (; i + 16 <= n; i += 16) f(i, int64_t{16}, 0);
  if (i < n) f(i, n - i, 1);
}
struct Sum4 {
  V16 s[4] = {};
  RUTILE_INLINE float result() const { return sum_lanes((s[0] + s[1]) + (s[2] + s[3])); }
};
struct Max4 {
  V16 m[4] = {splat(-__builtin_inff()), splat(-__builtin_inff()), splat(-__builtin_inff()),
              splat(-__builtin_inff())};
  RUTILE_INLINE float result() const {
    return max_lanes(max16(max16(m[0], m[1]), max16(m[2], m[3])));
  }
};

}  // namespace rutile::kernels::RUTILE_ISA

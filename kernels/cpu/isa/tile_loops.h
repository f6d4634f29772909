// SPDX-License-Identifier: Apache-2.0
// Loops over functors, and the types that a functor takes in tiles. Inputs and output may be the
// same memory but never overlap otherwise, which the pragma tells the vectoriser.
#pragma once

#include <immintrin.h>

#include "rutile/kernels/cpu/isa/fast_math.h"
#include "rutile/kernels/cpu/tile.h"

namespace rutile::kernels::RUTILE_ISA {
namespace {

template <class F, class T>
constexpr bool takes() {
  switch (F::kDomain) {
    case Domain::kReal:
      return true;
    case Domain::kNumber:
      return !__is_same(T, bool);
    case Domain::kFloat:
      return kIsFloat<T>;
    case Domain::kInteger:
      return !kIsFloat<T>;
    case Domain::kLogical:
      return __is_same(T, bool);
  }
  return false;
}

template <class F, class T>
void unary_loop(const void* const* in, void* out, int64_t n, const double* params) {
  const F f{params};
  const T* a = static_cast<const T*>(in[0]);
  auto* y = static_cast<decltype(f(T()))*>(out);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = f(a[i]);
}

// kMask: inputs that are one element for all.
template <class F, class T, int kMask>
void binary_loop(const void* const* in, void* out, int64_t n, const double* params) {
  const F f{params};
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  auto* y = static_cast<decltype(f(T(), T()))*>(out);
  const T a0 = kMask & 1 ? a[0] : T();
  const T b0 = kMask & 2 ? b[0] : T();
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = f(kMask & 1 ? a0 : a[i], kMask & 2 ? b0 : b[i]);
}

template <class F, class T, int kMask>
void ternary_loop(const void* const* in, void* out, int64_t n, const double* params) {
  const F f{params};
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  const T* c = static_cast<const T*>(in[2]);
  T* y = static_cast<T*>(out);
  const T c0 = kMask & 4 ? c[0] : T();
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i], kMask & 4 ? c0 : c[i]);
}

// Bits of T: what is chosen between is copied, whatever it means.
template <int kSize>
struct BitsOf;
template <>
struct BitsOf<1> {
  using type = int8_t;
};
template <>
struct BitsOf<4> {
  using type = int32_t;
};
template <>
struct BitsOf<8> {
  using type = int64_t;
};

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#else
constexpr int kVectorBytes = 32;
#endif

// A vector register of any type.
template <class T>
struct Whole {
  static constexpr int64_t kCount = kVectorBytes / sizeof(T);
  typedef T V __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};

// Bytes as elements of T, as many as a register has: what the compiler makes of
// __builtin_convertvector goes byte by byte.
template <class T>
RUTILE_FN typename Whole<T>::V widened(const int8_t* c) {
  using V = typename Whole<T>::V;
  if constexpr (sizeof(T) == 1) return *reinterpret_cast<const typename Whole<T>::Unaligned*>(c);
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    return V(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(c))));
  } else {
    return V(_mm512_cvtepi8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(c))));
  }
#else
  if constexpr (sizeof(T) == 4) {
    return V(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(c))));
  } else {
    return V(_mm256_cvtepi8_epi64(_mm_loadu_si32(c)));
  }
#endif
}

// The compiler makes branches of a plain loop, which guess wrong half the time.
template <class T, int kMask>
void where_loop(const void* const* in, void* out, int64_t n, const double*) {
  using B = typename BitsOf<sizeof(T)>::type;
  using V = typename Whole<B>::V;
  using U = typename Whole<B>::Unaligned;
  constexpr int64_t kCount = Whole<B>::kCount;
  const int8_t* c = static_cast<const int8_t*>(in[0]);
  const B* a = static_cast<const B*>(in[1]);
  const B* b = static_cast<const B*>(in[2]);
  B* y = static_cast<B*>(out);
  const V a0 = V{} + (kMask & 2 ? a[0] : B()), b0 = V{} + (kMask & 4 ? b[0] : B());
  int64_t i = 0;
  for (; i + kCount <= n; i += kCount) {
    const V chosen = widened<B>(c + i) != 0;
    const V av = kMask & 2 ? a0 : V(*reinterpret_cast<const U*>(a + i));
    const V bv = kMask & 4 ? b0 : V(*reinterpret_cast<const U*>(b + i));
    *reinterpret_cast<U*>(y + i) = (av & chosen) | (bv & ~chosen);
  }
  for (; i < n; ++i) y[i] = c[i] ? a[kMask & 2 ? 0 : i] : b[kMask & 4 ? 0 : i];
}

template <class F, class T>
void add_unary(TileFn (*row)[8], TileType type) {
  if constexpr (takes<F, T>()) row[static_cast<int>(type)][0] = unary_loop<F, T>;
}
template <class F, class T>
void add_binary(TileFn (*row)[8], TileType type) {
  if constexpr (takes<F, T>()) {
    TileFn* r = row[static_cast<int>(type)];
    r[0] = binary_loop<F, T, 0>;
    r[1] = binary_loop<F, T, 1>;
    r[2] = binary_loop<F, T, 2>;
  }
}
template <class F, class T>
void add_ternary(TileFn (*row)[8], TileType type) {
  TileFn* r = row[static_cast<int>(type)];
  r[0] = ternary_loop<F, T, 0>;
  r[4] = ternary_loop<F, T, 4>;
}
template <class T>
void add_where(TileFn (*row)[8], TileType type) {
  TileFn* r = row[static_cast<int>(type)];
  r[0] = where_loop<T, 0>;
  r[2] = where_loop<T, 2>;
  r[4] = where_loop<T, 4>;
  r[6] = where_loop<T, 6>;
}

}  // namespace
}  // namespace rutile::kernels::RUTILE_ISA

// SPDX-License-Identifier: Apache-2.0
// Loops over functors, and the types that a functor takes in tiles. Inputs and output may be the
// same memory but never overlap otherwise, which the pragma tells the vectoriser.
#pragma once

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

template <class T, int kMask>
void where_loop(const void* const* in, void* out, int64_t n, const double*) {
  const bool* c = static_cast<const bool*>(in[0]);
  const T* a = static_cast<const T*>(in[1]);
  const T* b = static_cast<const T*>(in[2]);
  T* y = static_cast<T*>(out);
  const T a0 = kMask & 2 ? a[0] : T();
  const T b0 = kMask & 4 ? b[0] : T();
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T av = kMask & 2 ? a0 : a[i], bv = kMask & 4 ? b0 : b[i];
    y[i] = c[i] ? av : bv;
  }
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

// SPDX-License-Identifier: Apache-2.0
// Complex numbers as threads compute with them, and real ones beside them: what a kernel for both
// reads and writes.
#pragma once

#include "rutile/kernels/cuda/values.h"

namespace rutile::cuda {

template <class C>
struct Pair {
  C re = 0, im = 0;
  RUTILE_FN Pair operator*(const Pair& o) const {
    return {re * o.re - im * o.im, re * o.im + im * o.re};
  }
  RUTILE_FN Pair operator+(const Pair& o) const { return {re + o.re, im + o.im}; }
  RUTILE_FN Pair& operator*=(const Pair& o) { return *this = *this * o; }
  RUTILE_FN Pair& operator+=(const Pair& o) { return *this = *this + o; }
};

template <class C>
struct PairTraits {
  using Real = C;
  static constexpr bool kIsPair = false;
};
template <class C>
struct PairTraits<Pair<C>> {
  using Real = C;
  static constexpr bool kIsPair = true;
};
template <class C>
using RealOf = typename PairTraits<C>::Real;
template <class C>
inline constexpr bool kIsPair = PairTraits<C>::kIsPair;

// From any dtype, and to any: the imaginary part is 0, or dropped.
template <class C>
RUTILE_FN Pair<C> load_pair(DType t, const void* p, int64_t i) {
  if (t == DType::kC64) {
    const Pair<float> v = static_cast<const Pair<float>*>(p)[i];
    return {static_cast<C>(v.re), static_cast<C>(v.im)};
  }
  if (t == DType::kC128) {
    const Pair<double> v = static_cast<const Pair<double>*>(p)[i];
    return {static_cast<C>(v.re), static_cast<C>(v.im)};
  }
  return {load_any<C>(t, p, i), 0};
}
template <class C>
RUTILE_FN void store_pair(DType t, void* p, int64_t i, Pair<C> v) {
  if (t == DType::kC64) {
    static_cast<Pair<float>*>(p)[i] = {static_cast<float>(v.re), static_cast<float>(v.im)};
  } else if (t == DType::kC128) {
    static_cast<Pair<double>*>(p)[i] = {static_cast<double>(v.re), static_cast<double>(v.im)};
  } else {
    store_any<C>(t, p, i, v.re);
  }
}

// load() and store() of real or complex numbers.
template <class C>
RUTILE_FN C load_number(DType t, const void* p, int64_t i) {
  if constexpr (kIsPair<C>) {
    return load_pair<RealOf<C>>(t, p, i);
  } else {
    return load<C>(t, p, i);
  }
}
template <class C>
RUTILE_FN void store_number(DType t, void* p, int64_t i, C v) {
  if constexpr (kIsPair<C>) {
    store_pair(t, p, i, v);
  } else {
    store<C>(t, p, i, v);
  }
}

}  // namespace rutile::cuda

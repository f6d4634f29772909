// SPDX-License-Identifier: Apache-2.0
// Rows that run an op on complex numbers as the same op on pairs of real ones, with a last
// dimension of 2: whatever is linear over real numbers.
#pragma once

#include <complex>
#include <type_traits>

#include "rutile/kernels/convert.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::kernels {

// Whether a call takes or gives complex numbers; rows that know none refuse those.
bool any_complex(const CallMeta& c);
bool only_real(const CallMeta& c, Reason* reason);

// Registers them; the reference ones run reference rows inside.
void register_complex_pairs(bool reference);
// Those of a GPU, over its rows of real numbers.
RUTILE_API void register_complex_pairs_cuda();

// Those of convolutions, from real ones.
void register_complex_conv(bool reference);

template <class T>
inline constexpr bool kIsComplex = false;
template <class R>
inline constexpr bool kIsComplex<std::complex<R>> = true;

// Conversions from, to and between complex types: the imaginary part is dropped or 0, true is what
// is not 0.
template <class To, class From>
To cast_complex(From x) {
  if constexpr (kIsComplex<From> && kIsComplex<To>) {
    using R = typename To::value_type;
    return {static_cast<R>(x.real()), static_cast<R>(x.imag())};
  } else if constexpr (kIsComplex<To>) {
    return To(convert<typename To::value_type>(x));
  } else if constexpr (!kIsComplex<From>) {
    return convert<To>(x);
  } else if constexpr (std::is_same_v<To, bool>) {
    return x.real() != 0 || x.imag() != 0;
  } else {
    return convert<To>(x.real());
  }
}

}  // namespace rutile::kernels

// SPDX-License-Identifier: Apache-2.0
// Functions of complex numbers that threads compute: W. Kahan, "Branch cuts for complex elementary
// functions" (1987), where the plain formulas would cancel.
#pragma once

#include "rutile/kernels/cuda/pair.h"
#include "rutile/kernels/functors.h"

namespace rutile::cuda {
namespace complex_fn {

using M = kernels::StdMath;

template <class C>
RUTILE_FN C size_of_number(C v) {
  return v < 0 ? -v : v;
}
template <class C>
RUTILE_FN C with_sign(C size, C sign) {
  return std::copysign(size, sign);
}
// The larger part is taken out, so that squares neither overflow nor vanish.
template <class C>
RUTILE_FN C length(Pair<C> v) {
  const C a = size_of_number(v.re), b = size_of_number(v.im);
  if (kernels::fn::is_inf(a) || kernels::fn::is_inf(b)) return static_cast<C>(__builtin_inf());
  const C large = a > b ? a : b, small = a > b ? b : a;
  if (a != a || b != b) return a + b;
  if (large == 0) return 0;
  const C ratio = small / large;
  return large * M::sqrt(1 + ratio * ratio);
}
template <class C>
RUTILE_FN Pair<C> product(Pair<C> a, Pair<C> b) {
  return a * b;
}
// R. L. Smith, Algorithm 116: Complex division (1962).
template <class C>
RUTILE_FN Pair<C> quotient(Pair<C> a, Pair<C> b) {
  const C c = b.re, d = b.im;
  if (size_of_number(c) >= size_of_number(d)) {
    if (c == 0) return {a.re / size_of_number(c), a.im / size_of_number(c)};
    const C ratio = d / c, scale = 1 / (c + d * ratio);
    return {(a.re + a.im * ratio) * scale, (a.im - a.re * ratio) * scale};
  }
  const C ratio = c / d, scale = 1 / (d + c * ratio);
  return {(a.re * ratio + a.im) * scale, (a.im * ratio - a.re) * scale};
}
template <class C>
RUTILE_FN Pair<C> reciprocal(Pair<C> x) {
  return quotient(Pair<C>{1, 0}, x);
}
template <class C>
RUTILE_FN Pair<C> root(Pair<C> x) {
  const C size = length(x);
  if (size == 0) return {0, x.im};
  const C half = M::sqrt((size + size_of_number(x.re)) / 2),
          other = size_of_number(x.im) / (2 * half);
  const bool right = x.re >= 0;
  return {right ? half : other, with_sign(right ? other : half, x.im)};
}
template <class C>
RUTILE_FN Pair<C> exponential(Pair<C> x) {
  const C e = M::exp(x.re);
  if (x.im == 0) return {e, x.im};
  return {e * M::cos(x.im), e * M::sin(x.im)};
}
template <class C>
RUTILE_FN Pair<C> logarithm(Pair<C> x) {
  return {M::log(length(x)), M::atan2(x.im, x.re)};
}
template <class C>
RUTILE_FN Pair<C> scaled(Pair<C> x, C by) {
  return {x.re * by, x.im * by};
}
template <class C>
RUTILE_FN Pair<C> expm1(Pair<C> x) {
  const C half = M::sin(x.im / 2), grown = M::expm1(x.re);
  return {grown * M::cos(x.im) - 2 * half * half, M::exp(x.re) * M::sin(x.im)};
}
template <class C>
RUTILE_FN Pair<C> log1p(Pair<C> x) {
  const C a = x.re, b = x.im;
  // |1 + x|^2 - 1 has no cancellation near 0; far from it log does not need help.
  if (size_of_number(a) < C(0.5) && size_of_number(b) < C(0.5)) {
    return {C(0.5) * M::log1p(a * (2 + a) + b * b), M::atan2(b, 1 + a)};
  }
  return logarithm(Pair<C>{1 + a, b});
}
template <class C>
RUTILE_NOINLINE Pair<C> power(Pair<C> x, Pair<C> y) {
  if (y.re == 0 && y.im == 0) return {1, 0};
  if (x.re == 0 && x.im == 0 && y.re > 0) return {0, 0};
  // The exponent multiplies the error of the logarithm.
  const Pair<double> e =
      exponential(product(Pair<double>{y.re, y.im}, logarithm(Pair<double>{x.re, x.im})));
  return {static_cast<C>(e.re), static_cast<C>(e.im)};
}

template <class C>
RUTILE_FN Pair<C> sinh(Pair<C> x) {
  return {M::sinh(x.re) * M::cos(x.im), M::cosh(x.re) * M::sin(x.im)};
}
template <class C>
RUTILE_FN Pair<C> cosh(Pair<C> x) {
  return {M::cosh(x.re) * M::cos(x.im), M::sinh(x.re) * M::sin(x.im)};
}
template <class C>
RUTILE_NOINLINE Pair<C> tanh(Pair<C> x) {
  if (size_of_number(x.re) > 40) {
    return {with_sign(C(1), x.re),
            4 * M::sin(x.im) * M::cos(x.im) * M::exp(-2 * size_of_number(x.re))};
  }
  const C t = M::tan(x.im), s = M::sinh(x.re), beta = 1 + t * t, below = 1 + beta * s * s;
  return {beta * M::sqrt(1 + s * s) * s / below, t / below};
}
template <class C>
RUTILE_NOINLINE Pair<C> asin(Pair<C> x) {
  const Pair<C> a = root(Pair<C>{1 - x.re, -x.im}), b = root(Pair<C>{1 + x.re, x.im});
  return {M::atan2(x.re, a.re * b.re - a.im * b.im), M::asinh(a.re * b.im - a.im * b.re)};
}
template <class C>
RUTILE_NOINLINE Pair<C> acos(Pair<C> x) {
  const Pair<C> a = root(Pair<C>{1 - x.re, -x.im}), b = root(Pair<C>{1 + x.re, x.im});
  return {2 * M::atan2(a.re, b.re), M::asinh(b.re * a.im - b.im * a.re)};
}
template <class C>
RUTILE_NOINLINE Pair<C> acosh(Pair<C> x) {
  const Pair<C> a = root(Pair<C>{x.re - 1, x.im}), b = root(Pair<C>{x.re + 1, x.im});
  return {M::asinh(a.re * b.re + a.im * b.im), 2 * M::atan2(a.im, b.re)};
}
template <class C>
RUTILE_NOINLINE Pair<C> atanh(Pair<C> x) {
  const C size = size_of_number(x.re), rest = 1 - size;
  const C re = M::log1p(4 * size / (rest * rest + x.im * x.im)) / 4;
  return {with_sign(re, x.re), M::atan2(2 * x.im, rest * (1 + size) - x.im * x.im) / 2};
}
// -i f(i x): what makes sin of sinh, asinh of asin, and so on.
template <class C>
RUTILE_FN Pair<C> times_i(Pair<C> x) {
  return {-x.im, x.re};
}
template <class C>
RUTILE_FN Pair<C> over_i(Pair<C> x) {
  return {x.im, -x.re};
}

}  // namespace complex_fn
}  // namespace rutile::cuda

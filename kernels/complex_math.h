// SPDX-License-Identifier: Apache-2.0
// What the elementwise ops compute of complex numbers: one function per op, for the reference (in
// double) and the fast rows alike. The signature says which operands are complex and which real.
#pragma once

#include <cmath>
#include <complex>

namespace rutile::kernels::complex_math {

template <class R>
using C = std::complex<R>;

template <class R>
C<R> add(C<R> a, C<R> b) {
  return {a.real() + b.real(), a.imag() + b.imag()};
}
template <class R>
C<R> sub(C<R> a, C<R> b) {
  return {a.real() - b.real(), a.imag() - b.imag()};
}
// Four products, as everywhere: C's rules for infinities (Annex G) would cost a branch and a call.
template <class R>
C<R> mul(C<R> a, C<R> b) {
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}
// R. L. Smith, Algorithm 116: Complex division (1962): overflows later than |b|^2.
template <class R>
C<R> div(C<R> a, C<R> b) {
  const R c = b.real(), d = b.imag();
  if (std::fabs(c) >= std::fabs(d)) {
    if (c == 0) return {a.real() / std::fabs(c), a.imag() / std::fabs(c)};
    const R ratio = d / c, scale = R(1) / (c + d * ratio);
    return {(a.real() + a.imag() * ratio) * scale, (a.imag() - a.real() * ratio) * scale};
  }
  const R ratio = c / d, scale = R(1) / (d + c * ratio);
  return {(a.real() * ratio + a.imag()) * scale, (a.imag() * ratio - a.real()) * scale};
}
template <class R>
C<R> pow(C<R> x, C<R> y) {
  if (y == C<R>(0)) return C<R>(1);
  if (x == C<R>(0) && y.real() > 0) return C<R>(0);
  return std::pow(x, y);
}

template <class R>
bool equal(C<R> a, C<R> b) {
  return a.real() == b.real() && a.imag() == b.imag();
}
template <class R>
bool not_equal(C<R> a, C<R> b) {
  return !equal(a, b);
}
template <class R>
bool logical_not(C<R> x) {
  return x.real() == 0 && x.imag() == 0;
}
template <class R>
bool logical_and(C<R> a, C<R> b) {
  return !logical_not(a) && !logical_not(b);
}
template <class R>
bool logical_or(C<R> a, C<R> b) {
  return !logical_not(a) || !logical_not(b);
}
template <class R>
bool logical_xor(C<R> a, C<R> b) {
  return logical_not(a) != logical_not(b);
}
template <class R>
bool isnan(C<R> x) {
  return x.real() != x.real() || x.imag() != x.imag();
}
template <class R>
bool isinf(C<R> x) {
  return std::isinf(x.real()) || std::isinf(x.imag());
}
template <class R>
bool isfinite(C<R> x) {
  return std::isfinite(x.real()) && std::isfinite(x.imag());
}

template <class R>
C<R> neg(C<R> x) {
  return {-x.real(), -x.imag()};
}
template <class R>
C<R> conj(C<R> x) {
  return {x.real(), -x.imag()};
}
template <class R>
R real(C<R> x) {
  return x.real();
}
template <class R>
R imag(C<R> x) {
  return x.imag();
}
template <class R>
R abs(C<R> x) {
  return std::hypot(x.real(), x.imag());
}
template <class R>
R angle(C<R> x) {
  return std::atan2(x.imag(), x.real());
}
template <class R>
C<R> complex(R re, R im) {
  return {re, im};
}
template <class R>
C<R> square(C<R> x) {
  return mul(x, x);
}
template <class R>
C<R> reciprocal(C<R> x) {
  return div(C<R>(1), x);
}
template <class R>
C<R> exp(C<R> x) {
  if (x.imag() == 0) return {std::exp(x.real()), x.imag()};
  const R e = std::exp(x.real());
  return {e * std::cos(x.imag()), e * std::sin(x.imag())};
}
template <class R>
C<R> exp2(C<R> x) {
  const R ln2 = R(0.69314718055994530942);
  return complex_math::exp(C<R>(x.real() * ln2, x.imag() * ln2));
}
template <class R>
C<R> expm1(C<R> x) {
  const R half = std::sin(x.imag() / 2), grown = std::expm1(x.real());
  return {grown * std::cos(x.imag()) - 2 * half * half, std::exp(x.real()) * std::sin(x.imag())};
}
template <class R>
C<R> log(C<R> x) {
  return std::log(x);
}
template <class R>
C<R> log2(C<R> x) {
  const C<R> y = std::log(x);
  const R scale = R(1.44269504088896340736);
  return {y.real() * scale, y.imag() * scale};
}
template <class R>
C<R> log10(C<R> x) {
  return std::log10(x);
}
template <class R>
C<R> log1p(C<R> x) {
  const R a = x.real(), b = x.imag();
  // |1 + x|^2 - 1 has no cancellation near 0; far from it log does not need help.
  if (std::fabs(a) < R(0.5) && std::fabs(b) < R(0.5)) {
    return {R(0.5) * std::log1p(a * (R(2) + a) + b * b), std::atan2(b, R(1) + a)};
  }
  return std::log(C<R>(R(1) + a, b));
}
template <class R>
C<R> rsqrt(C<R> x) {
  return reciprocal(C<R>(std::sqrt(x)));
}
template <class R>
C<R> sigmoid(C<R> x) {
  return reciprocal(add(C<R>(1), complex_math::exp(neg(x))));
}
#define RUTILE_COMPLEX_STD(name) \
  template <class R>             \
  C<R> name(C<R> x) {            \
    return std::name(x);         \
  }
RUTILE_COMPLEX_STD(sqrt)
RUTILE_COMPLEX_STD(sin)
RUTILE_COMPLEX_STD(cos)
RUTILE_COMPLEX_STD(tan)
RUTILE_COMPLEX_STD(asin)
RUTILE_COMPLEX_STD(acos)
RUTILE_COMPLEX_STD(atan)
RUTILE_COMPLEX_STD(sinh)
RUTILE_COMPLEX_STD(cosh)
RUTILE_COMPLEX_STD(tanh)
RUTILE_COMPLEX_STD(asinh)
RUTILE_COMPLEX_STD(acosh)
RUTILE_COMPLEX_STD(atanh)
#undef RUTILE_COMPLEX_STD

template <class R>
C<R> where(bool cond, C<R> x, C<R> y) {
  return cond ? x : y;
}

}  // namespace rutile::kernels::complex_math

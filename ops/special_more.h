// SPDX-License-Identifier: Apache-2.0
// Special functions: normal distribution, incomplete gamma, zeta, Bessel. Rules as in special.h:
// shapes broadcast, integers and bool give f32, complex numbers are kType. They are computed in f64
// and rounded once.
//
//   Tensor p = ops::ndtr(x);                   // f32[8] -> f32[8], P(normal <= x)
//   Tensor q = ops::igamma(a, x);              // f32[8], f32[8] -> f32[8]
//   auto [m, e] = ops::frexp(x);               // x = m * 2^e
//
// Sources: Abramowitz and Stegun, "Handbook of mathematical functions" (1964); Temme (1979).
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"
#include "rutile/ops/special.h"

namespace rutile::ops {

#include "rutile/ops/declare_elementwise.inc"

// The larger and the smaller number; the other one where one is NaN (maximum gives NaN). Any real
// dtype. The gradient goes to x where both are equal.
RUTILE_BINARY(kFmax, fmax)
RUTILE_BINARY(kFmin, fmin)

// The regularised incomplete gamma functions: the integral of t^(x - 1) exp(-t) / gamma(x) from 0
// to y, and from y on. Their sum is 1; NaN for negative numbers.
RUTILE_BINARY(kIgamma, igamma)
RUTILE_BINARY(kIgammac, igammac)
// The derivative of igamma by x (that of igammac is its opposite). It is differentiated by y alone:
// by x kUnsupported.
RUTILE_BINARY(kIgammaGradA, igamma_grad_a)
// The sum of (y + k)^-x over k = 0, 1, .. (Hurwitz); x = 1 and y = 0, -1, .. give infinity, x below
// 1 gives NaN. No gradient by x.
RUTILE_BINARY(kZeta, zeta)

RUTILE_UNARY(kNdtr, ndtr)           // (1 + erf(x / sqrt 2)) / 2
RUTILE_UNARY(kLogNdtr, log_ndtr)    // its logarithm, exact far below 0
RUTILE_UNARY(kNdtri, ndtri)         // its inverse
RUTILE_UNARY(kErfcx, erfcx)         // exp(x^2) erfc(x)
RUTILE_UNARY(kEntr, entr)           // -x log x, 0 at 0, -infinity below
RUTILE_UNARY(kI0e, i0e)             // exp(-|x|) i0(x)
RUTILE_UNARY(kI1e, i1e)             // exp(-|x|) i1(x)
RUTILE_UNARY(kBesselJ0, bessel_j0)  // of the first kind
RUTILE_UNARY(kBesselJ1, bessel_j1)
RUTILE_UNARY(kBesselY0, bessel_y0)  // of the second kind; NaN below 0
RUTILE_UNARY(kBesselY1, bessel_y1)
RUTILE_UNARY(kBesselK0, bessel_k0)  // modified, of the second kind; NaN below 0
RUTILE_UNARY(kBesselK1, bessel_k1)
RUTILE_UNARY(kBesselK0e, bessel_k0e)  // exp(x) bessel_k0(x)
RUTILE_UNARY(kBesselK1e, bessel_k1e)

struct MvlgammaAttrs {
  int64_t p = 1;  // at least 1
  RUTILE_REFLECT(p)
};
// Logarithm of the multivariate gamma function of dimension p:
// p (p - 1) / 4 log(pi) + the sum of lgamma(x - i / 2) over i < p.
extern RUTILE_API const OpDef kMvlgamma;
RUTILE_API Tensor mvlgamma(Arg x, int64_t p);

struct Frexp {
  Tensor mantissa, exponent;
};
// x = mantissa * 2^exponent with 0.5 <= |mantissa| < 1 (0 and exponent 0 for 0; infinities and NaN
// stay, with exponent 0). Floats only; exponents are i32.
extern RUTILE_API const OpDef kFrexp;
RUTILE_API Frexp frexp(Arg x);
// Its two halves, both in x's dtype.
RUTILE_UNARY(kFrexpMantissa, frexp_mantissa)
RUTILE_UNARY(kFrexpExponent, frexp_exponent)

#undef RUTILE_UNARY
#undef RUTILE_BINARY

}  // namespace rutile::ops

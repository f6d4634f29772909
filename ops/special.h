// SPDX-License-Identifier: Apache-2.0
// Further elementwise functions that NumPy and PyTorch users know. Rules as in elementwise.h:
// shapes broadcast, inputs are promoted, a number takes the tensor's dtype.
//
//   Tensor y = ops::logaddexp(a, b);                        // f32[8,3], f32[3] -> f32[8,3]
//   Tensor z = ops::lerp(start, end, Tensor::scalar(0.3f));
//
// Errors: kValue for shapes that do not broadcast and for attributes out of their range, kType for
// a dtype that the function does not take.
#pragma once

#include <limits>

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

#include "rutile/ops/declare_elementwise.inc"

// ---- Division and integers --------------------------------------------------------------------

// C's / and %: the quotient cut off, the remainder has x's sign. Integers: kValue for division by
// 0. (Rounded down: floor_div and remainder.)
RUTILE_BINARY(kTruncDiv, trunc_div)
RUTILE_BINARY(kFmod, fmod)
// Greatest common divisor and least common multiple of |x| and |y|; gcd(0, 0) and lcm(0, y) are 0.
RUTILE_BINARY(kGcd, gcd)
RUTILE_BINARY(kLcm, lcm)
// x * 2^y and x / 2^y of integers, bits shifted out are lost. A shift by a negative number or by as
// many bits as there are shifts all out: 0 is left, -1 of a negative number shifted right.
RUTILE_BINARY(kLeftShift, bitwise_left_shift)
RUTILE_BINARY(kRightShift, bitwise_right_shift)

// ---- Two floats -------------------------------------------------------------------------------

RUTILE_BINARY(kHypot, hypot)            // sqrt(x^2 + y^2) without overflow; gradient 0 at (0, 0)
RUTILE_BINARY(kCopysign, copysign)      // |x| with y's sign
RUTILE_BINARY(kNextafter, nextafter)    // the number next to x towards y; f32 and f64 only
RUTILE_BINARY(kHeaviside, heaviside)    // 0 for x < 0, y for x = 0, 1 for x > 0
RUTILE_BINARY(kLogAddExp, logaddexp)    // log(exp(x) + exp(y)) without overflow
RUTILE_BINARY(kLogAddExp2, logaddexp2)  // log2(2^x + 2^y) without overflow
RUTILE_BINARY(kXlogy, xlogy)            // x log(y), 0 where x = 0 (and y is no NaN)
RUTILE_BINARY(kXlog1py, xlog1py)        // x log(1 + y), 0 where x = 0
RUTILE_BINARY(kLdexp, ldexp)            // x * 2^y; integers give f32
// x^y in f64 whatever the inputs.
RUTILE_BINARY(kFloatPower, float_power)

struct IscloseAttrs {
  double rtol = 1e-5;
  double atol = 1e-8;
  bool equal_nan = false;  // NaN is close to NaN
  RUTILE_REFLECT(rtol, atol, equal_nan)
};
// |x - y| <= atol + rtol |y| as bool; infinities are close to themselves only.
extern RUTILE_API const OpDef kIsclose;
RUTILE_API Tensor isclose(Arg x, Arg y, IscloseAttrs attrs = {});
// Are all elements close; 0-d bool.
RUTILE_API Tensor allclose(Arg x, Arg y, IscloseAttrs attrs = {});

// ---- Three ------------------------------------------------------------------------------------

// x + weight (end - x).
extern RUTILE_API const OpDef kLerp;
RUTILE_API Tensor lerp(Arg x, Arg end, Arg weight);

struct ScaledAttrs {
  double value = 1;
  RUTILE_REFLECT(value)
};
// x + value t1 t2, and x + value t1 / t2.
extern RUTILE_API const OpDef kAddcmul;
RUTILE_API Tensor addcmul(Arg x, Arg t1, Arg t2, ScaledAttrs attrs = {});
extern RUTILE_API const OpDef kAddcdiv;
RUTILE_API Tensor addcdiv(Arg x, Arg t1, Arg t2, ScaledAttrs attrs = {});

// min(max(x, lo), hi) with bounds that are tensors; one of them may be left out. The gradient goes
// to x where lo <= x <= hi. (Bounds that are numbers: clip.)
extern RUTILE_API const OpDef kClamp;
RUTILE_API Tensor clamp(Arg x, const Tensor& lo, const Tensor& hi = {});

// ---- Functions of one -------------------------------------------------------------------------

RUTILE_UNARY(kFrac, frac)        // x - trunc(x)
RUTILE_UNARY(kSignBit, signbit)  // bool: is the sign bit set (also of -0)
RUTILE_UNARY(kIsPosInf, isposinf)
RUTILE_UNARY(kIsNegInf, isneginf)
// From here on integers and bool give f32.
RUTILE_UNARY(kLog10, log10)
RUTILE_UNARY(kCbrt, cbrt)
RUTILE_UNARY(kSinc, sinc)  // sin(pi x) / (pi x), 1 at 0
RUTILE_UNARY(kDeg2Rad, deg2rad)
RUTILE_UNARY(kRad2Deg, rad2deg)
RUTILE_UNARY(kErfinv, erfinv)    // inverse of erf
RUTILE_UNARY(kLgamma, lgamma)    // log |gamma(x)|
RUTILE_UNARY(kDigamma, digamma)  // derivative of lgamma
RUTILE_UNARY(kI0, i0)            // modified Bessel functions of the first kind
RUTILE_UNARY(kI1, i1)

struct PolygammaAttrs {
  int64_t n = 1;
  RUTILE_REFLECT(n)
};
// The n-th derivative of digamma, n >= 0.
extern RUTILE_API const OpDef kPolygamma;
RUTILE_API Tensor polygamma(int64_t n, Arg x);

struct LogitAttrs {
  double eps = -1;  // x is first limited to [eps, 1 - eps]; below 0: it is not
  RUTILE_REFLECT(eps)
};
// log(x / (1 - x)), the inverse of sigmoid.
extern RUTILE_API const OpDef kLogit;
RUTILE_API Tensor logit(Arg x, LogitAttrs attrs = {});

struct NanToNumAttrs {
  double nan = 0;
  // NaN: the largest and the smallest finite number of x's dtype.
  double posinf = std::numeric_limits<double>::quiet_NaN();
  double neginf = std::numeric_limits<double>::quiet_NaN();
  RUTILE_REFLECT(nan, posinf, neginf)
};
// NaN and infinities replaced by numbers; the gradient passes where x is finite.
extern RUTILE_API const OpDef kNanToNum;
RUTILE_API Tensor nan_to_num(Arg x, NanToNumAttrs attrs = {});
// The three numbers for a dtype, for kernels.
RUTILE_API void nan_to_num_values(const NanToNumAttrs& attrs, DType dtype, double* values);

#undef RUTILE_UNARY
#undef RUTILE_BINARY

}  // namespace rutile::ops

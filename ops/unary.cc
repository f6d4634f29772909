// SPDX-License-Identifier: Apache-2.0
// Elementwise functions of one input.
#include <numbers>

#include "rutile/core/complex.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using std::numbers::inv_sqrtpi;
using std::numbers::ln2;

GradResult grad_neg(GradCtx& c) { return {-c.grad()}; }
Status infer_abs(const CallMeta& c, TensorMeta* out) {
  const DType t = c.in(0).dtype;
  return is_complex(t) ? infer_broadcast(c, real_dtype(t), out) : infer_number(c, out);
}
GradResult grad_abs(GradCtx& c) {
  const Tensor& x = c.in(0);
  if (is_complex(x.dtype())) return {over_root(c.grad(), abs(x)) * x};
  return {c.grad() * sign(x)};
}
GradResult grad_square(GradCtx& c) { return {c.grad() * c.in(0) * 2}; }

GradResult grad_exp(GradCtx& c) { return {c.grad() * c.out()}; }
GradResult grad_exp2(GradCtx& c) { return {c.grad() * c.out() * ln2}; }
GradResult grad_expm1(GradCtx& c) { return {c.grad() * (c.out() + 1)}; }
GradResult grad_log(GradCtx& c) { return {c.grad() / c.in(0)}; }
GradResult grad_log2(GradCtx& c) { return {c.grad() / (c.in(0) * ln2)}; }
GradResult grad_log1p(GradCtx& c) { return {c.grad() / (c.in(0) + 1)}; }
GradResult grad_sqrt(GradCtx& c) { return {c.grad() * 0.5 / c.out()}; }
GradResult grad_rsqrt(GradCtx& c) { return {c.grad() * -0.5 * c.out() * square(c.out())}; }
GradResult grad_reciprocal(GradCtx& c) { return {-c.grad() * square(c.out())}; }

GradResult grad_sin(GradCtx& c) { return {c.grad() * cos(c.in(0))}; }
GradResult grad_cos(GradCtx& c) { return {-c.grad() * sin(c.in(0))}; }
GradResult grad_tan(GradCtx& c) { return {c.grad() * (square(c.out()) + 1)}; }
GradResult grad_asin(GradCtx& c) { return {c.grad() * rsqrt(1 - square(c.in(0)))}; }
GradResult grad_acos(GradCtx& c) { return {-c.grad() * rsqrt(1 - square(c.in(0)))}; }
GradResult grad_atan(GradCtx& c) { return {c.grad() / (square(c.in(0)) + 1)}; }
GradResult grad_sinh(GradCtx& c) { return {c.grad() * cosh(c.in(0))}; }
GradResult grad_cosh(GradCtx& c) { return {c.grad() * sinh(c.in(0))}; }
GradResult grad_tanh(GradCtx& c) {
  if (is_complex(c.out().dtype())) return {c.grad() * (1 - square(c.out()))};
  return {tanh_grad(c.grad(), c.out())};
}
GradResult grad_asinh(GradCtx& c) { return {c.grad() * rsqrt(square(c.in(0)) + 1)}; }
GradResult grad_acosh(GradCtx& c) {
  const Tensor& x = c.in(0);
  if (!is_complex(x.dtype())) return {c.grad() * rsqrt(square(x) - 1)};
  return {c.grad() * rsqrt(x - 1) * rsqrt(x + 1)};  // on the branch of the function
}
GradResult grad_atanh(GradCtx& c) { return {c.grad() / (1 - square(c.in(0)))}; }
GradResult grad_erf(GradCtx& c) { return {c.grad() * (2 * inv_sqrtpi) * exp(-square(c.in(0)))}; }
GradResult grad_erfc(GradCtx& c) { return {c.grad() * (-2 * inv_sqrtpi) * exp(-square(c.in(0)))}; }

}  // namespace

// Keep the dtype.
RUTILE_UNARY(kNeg, neg, .infer = or_complex<infer_number>, .grad = grad_neg,
             .zero_preserving = true, .doc = "Negation: -x.")
RUTILE_UNARY(kAbs, abs, .infer = infer_abs, .grad = grad_abs, .saves = {"x"},
             .zero_preserving = true,
             .doc = "|x|, of complex numbers the length; the gradient at 0 is 0.")
RUTILE_UNARY(kSign, sign, .infer = infer_number, .zero_preserving = true,
             .no_grad = "piecewise constant", .doc = "-1, 0 or 1; NaN for NaN.")
RUTILE_UNARY(kSquare, square, .infer = or_complex<infer_number>, .grad = holomorphic<grad_square>,
             .saves = {"x"}, .zero_preserving = true, .doc = "x * x.")
#define RUTILE_ROUNDING(constant, function, text)                                  \
  RUTILE_UNARY(constant, function, .infer = infer_number, .zero_preserving = true, \
               .no_grad = "piecewise constant", .doc = text)
RUTILE_ROUNDING(kFloor, floor, "Rounded down.")
RUTILE_ROUNDING(kCeil, ceil, "Rounded up.")
RUTILE_ROUNDING(kRound, round, "Rounded to the nearest integer, half to even.")
RUTILE_ROUNDING(kTrunc, trunc, "Rounded towards zero.")

// Give floats. What is saved is x or y, whichever the derivative is simplest in.
#define RUTILE_FUNCTION(constant, function, saved, precision, zero, text)                \
  RUTILE_UNARY(constant, function, .infer = or_complex<infer_float>,                     \
               .grad = holomorphic<grad_##function>, .saves = {saved}, .amp = precision, \
               .zero_preserving = zero, .doc = text)
#define RUTILE_REAL_FUNCTION(constant, function, saved, precision, zero, text)    \
  RUTILE_UNARY(constant, function, .infer = infer_float, .grad = grad_##function, \
               .saves = {saved}, .amp = precision, .zero_preserving = zero, .doc = text)
RUTILE_FUNCTION(kExp, exp, "y", Amp::kHigh, false, "e to the power x.")
RUTILE_FUNCTION(kExp2, exp2, "y", Amp::kHigh, false, "2 to the power x.")
RUTILE_FUNCTION(kExpm1, expm1, "y", Amp::kHigh, true, "exp(x) - 1, exact near 0.")
RUTILE_FUNCTION(kLog, log, "x", Amp::kHigh, false, "Natural logarithm.")
RUTILE_FUNCTION(kLog2, log2, "x", Amp::kHigh, false, "Logarithm to base 2.")
RUTILE_FUNCTION(kLog1p, log1p, "x", Amp::kHigh, true, "log(1 + x), exact near 0.")
RUTILE_FUNCTION(kSqrt, sqrt, "y", Amp::kKeep, true, "Square root, NaN for x < 0.")
RUTILE_FUNCTION(kRsqrt, rsqrt, "y", Amp::kHigh, false, "1 / sqrt(x).")
RUTILE_FUNCTION(kReciprocal, reciprocal, "y", Amp::kHigh, false, "1 / x.")
RUTILE_FUNCTION(kSin, sin, "x", Amp::kKeep, true, "Sine.")
RUTILE_FUNCTION(kCos, cos, "x", Amp::kKeep, false, "Cosine.")
RUTILE_FUNCTION(kTan, tan, "y", Amp::kHigh, true, "Tangent.")
RUTILE_FUNCTION(kAsin, asin, "x", Amp::kHigh, true, "Inverse sine.")
RUTILE_FUNCTION(kAcos, acos, "x", Amp::kHigh, false, "Inverse cosine.")
RUTILE_FUNCTION(kAtan, atan, "x", Amp::kKeep, true, "Inverse tangent.")
RUTILE_FUNCTION(kSinh, sinh, "x", Amp::kHigh, true, "Hyperbolic sine.")
RUTILE_FUNCTION(kCosh, cosh, "x", Amp::kHigh, false, "Hyperbolic cosine.")
RUTILE_FUNCTION(kTanh, tanh, "y", Amp::kKeep, true, "Hyperbolic tangent.")
RUTILE_FUNCTION(kAsinh, asinh, "x", Amp::kHigh, true, "Inverse hyperbolic sine.")
RUTILE_FUNCTION(kAcosh, acosh, "x", Amp::kHigh, false, "Inverse hyperbolic cosine.")
RUTILE_FUNCTION(kAtanh, atanh, "x", Amp::kHigh, true, "Inverse hyperbolic tangent.")
RUTILE_REAL_FUNCTION(kErf, erf, "x", Amp::kKeep, true, "Error function.")
RUTILE_REAL_FUNCTION(kErfc, erfc, "x", Amp::kKeep, false, "1 - erf(x).")

// Give bool, or take bits.
#define RUTILE_PREDICATE(constant, function, text)                                              \
  RUTILE_UNARY(constant, function, .infer = or_complex<infer_compare>, .no_grad = "gives bool", \
               .doc = text)
RUTILE_PREDICATE(kLogicalNot, logical_not, "x == 0 as bool.")
RUTILE_PREDICATE(kIsNan, isnan, "True where x is NaN.")
RUTILE_PREDICATE(kIsInf, isinf, "True where x is infinite.")
RUTILE_PREDICATE(kIsFinite, isfinite, "True where x is neither infinite nor NaN.")
RUTILE_UNARY(kBitwiseNot, bitwise_not, .infer = infer_bits, .no_grad = "integers and bool only",
             .doc = "~x of integers, not x of bool.")

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/special_more.h"

#include <cmath>
#include <numbers>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using std::numbers::pi;
using In = std::span<const Tensor>;

Status infer_mvlgamma(const CallMeta& c, TensorMeta* out) {
  const int64_t p = c.as<MvlgammaAttrs>().p;
  if (p < 1 || p > 1000) return value_error(cat("expects p in 1 .. 1000, got ", p));
  return infer_float(c, out);
}
Status infer_frexp(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(infer_floats(c, out));
  out[1] = out[0];
  out[1].dtype = DType::kI32;
  return Status();
}

// ---- Gradients ----------------------------------------------------------------------------------

GradResult grad_first_or_second(GradCtx& c, const Tensor& first) {
  GradResult r{Tensor(), Tensor()};
  if (c.needs(0)) r[0] = unbroadcast(where(first, c.grad(), 0.0), c.in_meta(0));
  if (c.needs(1)) r[1] = unbroadcast(where(first, 0.0, c.grad()), c.in_meta(1));
  return r;
}
GradResult grad_fmax(GradCtx& c) {
  const Tensor &x = c.in(0), &y = c.in(1);
  return grad_first_or_second(c, logical_or(greater_equal(x, y), isnan(y)));
}
GradResult grad_fmin(GradCtx& c) {
  const Tensor &x = c.in(0), &y = c.in(1);
  return grad_first_or_second(c, logical_or(less_equal(x, y), isnan(y)));
}

void refuse_first(const GradCtx& c) {
  if (!c.needs(0)) return;
  throw_error(ErrorCode::kUnsupported, cat(c.op().name, " has no gradient by x, only by y"));
}
Tensor gamma_slope(const Tensor& a, const Tensor& x) {
  return exp((a - 1) * log(x) - x - lgamma(a));
}
GradResult gamma_gradients(GradCtx& c, const Tensor& g) {
  const Tensor a = wide(c.in(0)), x = wide(c.in(1));
  return {c.needs(0) ? unbroadcast(g * igamma_grad_a(a, x), c.in_meta(0)) : Tensor(),
          c.needs(1) ? unbroadcast(g * gamma_slope(a, x), c.in_meta(1)) : Tensor()};
}
GradResult grad_igamma(GradCtx& c) { return gamma_gradients(c, wide(c.grad())); }
GradResult grad_igammac(GradCtx& c) { return gamma_gradients(c, -wide(c.grad())); }
GradResult grad_igamma_grad_a(GradCtx& c) {
  refuse_first(c);
  const Tensor a = wide(c.in(0)), x = wide(c.in(1));
  const Tensor slope = gamma_slope(a, x) * (log(x) - digamma(a));
  return {Tensor(), unbroadcast(wide(c.grad()) * slope, c.in_meta(1))};
}
GradResult grad_zeta(GradCtx& c) {
  refuse_first(c);
  const Tensor x = c.in(0);
  return {Tensor(), unbroadcast(-c.grad() * x * zeta(x + 1, c.in(1)), c.in_meta(1))};
}

// A slope made of several terms: low precision goes through f32.
GradResult along(GradCtx& c, const Tensor& slope) {
  return {cast(wide(c.grad()) * slope, c.in_meta(0).dtype)};
}
GradResult grad_ndtr(GradCtx& c) {
  const Tensor x = wide(c.in(0));
  return along(c, exp(square(x) * -0.5) * (1 / std::sqrt(2 * pi)));
}
GradResult grad_log_ndtr(GradCtx& c) {
  return along(c, std::sqrt(2 / pi) / erfcx(wide(c.in(0)) * -std::sqrt(0.5)));
}
GradResult grad_ndtri(GradCtx& c) {
  return along(c, exp(square(wide(c.out())) * 0.5) * std::sqrt(2 * pi));
}
GradResult grad_erfcx(GradCtx& c) {
  return along(c, wide(c.in(0)) * wide(c.out()) * 2 - 2 * std::numbers::inv_sqrtpi);
}
GradResult grad_entr(GradCtx& c) { return along(c, -log(wide(c.in(0))) - 1); }
GradResult grad_i0e(GradCtx& c) {
  const Tensor x = wide(c.in(0));
  return along(c, i1e(x) - sign(x) * wide(c.out()));
}
// What is divided by x has the slope 1/2 at 0.
Tensor by_x(const Tensor& y, const Tensor& x) {
  const Tensor zero = equal(x, 0);
  return where(zero, 0.5, y / where(zero, 1.0, x));
}
GradResult grad_i1e(GradCtx& c) {
  const Tensor x = wide(c.in(0)), y = i1e(x);
  return along(c, i0e(x) - sign(x) * y - by_x(y, x));
}
GradResult grad_bessel_j0(GradCtx& c) { return along(c, -bessel_j1(wide(c.in(0)))); }
GradResult grad_bessel_j1(GradCtx& c) {
  const Tensor x = wide(c.in(0));
  return along(c, bessel_j0(x) - by_x(bessel_j1(x), x));
}
GradResult grad_bessel_y0(GradCtx& c) { return along(c, -bessel_y1(wide(c.in(0)))); }
GradResult grad_bessel_y1(GradCtx& c) {
  const Tensor x = wide(c.in(0));
  return along(c, bessel_y0(x) - bessel_y1(x) / x);
}
GradResult grad_bessel_k0(GradCtx& c) { return along(c, -bessel_k1(wide(c.in(0)))); }
GradResult grad_bessel_k1(GradCtx& c) {
  const Tensor x = wide(c.in(0));
  return along(c, -bessel_k0(x) - bessel_k1(x) / x);
}
GradResult grad_bessel_k0e(GradCtx& c) {
  const Tensor x = wide(c.in(0));
  return along(c, bessel_k0e(x) - bessel_k1e(x));
}
GradResult grad_bessel_k1e(GradCtx& c) {
  const Tensor x = wide(c.in(0)), y = bessel_k1e(x);
  return along(c, y - bessel_k0e(x) - y / x);
}
GradResult grad_frexp_mantissa(GradCtx& c) { return {c.grad() * exp2(-frexp_exponent(c.in(0)))}; }

TensorList compose_mvlgamma(const void* attrs, In in) {
  const int64_t p = static_cast<const MvlgammaAttrs*>(attrs)->p;
  const DType t = is_floating(in[0].dtype()) ? in[0].dtype() : DType::kF32;
  const Tensor x = cast(in[0], wide(t));
  Tensor y = lgamma(x);
  for (int64_t i = 1; i < p; ++i) y = y + lgamma(x - 0.5 * static_cast<double>(i));
  const auto d = static_cast<double>(p);
  return {cast(y + d * (d - 1) / 4 * std::log(pi), t)};
}
TensorList compose_frexp(const void*, In in) {
  return {frexp_mantissa(in[0]), cast(frexp_exponent(in[0]), DType::kI32)};
}
double mvlgamma_flops(const CallMeta& c) {
  return elements(c.in(0)) * 20 * static_cast<double>(c.as<MvlgammaAttrs>().p);
}

}  // namespace

RUTILE_BINARY(kFmax, fmax, .infer = infer_same, .grad = grad_fmax, .saves = {"x", "y"},
              .amp = Amp::kPromote, .zero_preserving = true,
              .doc = "The larger of x and y; the other one where one is NaN.")
RUTILE_BINARY(kFmin, fmin, .infer = infer_same, .grad = grad_fmin, .saves = {"x", "y"},
              .amp = Amp::kPromote, .zero_preserving = true,
              .doc = "The smaller of x and y; the other one where one is NaN.")

#define RUTILE_TWO(constant, function, text)                                       \
  RUTILE_BINARY(constant, function, .infer = infer_float, .grad = grad_##function, \
                .saves = {"x", "y"}, .amp = Amp::kHigh, .doc = text)
RUTILE_TWO(kIgamma, igamma, "Lower incomplete gamma function of order x at y, regularised.")
RUTILE_TWO(kIgammac, igammac, "Upper incomplete gamma function of order x at y, regularised.")
RUTILE_TWO(kIgammaGradA, igamma_grad_a, "Derivative of igamma by its order x.")
RUTILE_TWO(kZeta, zeta, "Hurwitz's zeta function: the sum of (y + k)^-x over k >= 0.")

#define RUTILE_FUNCTION(constant, function, text)                                 \
  RUTILE_UNARY(constant, function, .infer = infer_float, .grad = grad_##function, \
               .saves = {"x", "y"}, .amp = Amp::kHigh, .doc = text)
#define RUTILE_FROM_X(constant, function, zero, text)                                             \
  RUTILE_UNARY(constant, function, .infer = infer_float, .grad = grad_##function, .saves = {"x"}, \
               .amp = Amp::kHigh, .zero_preserving = zero, .doc = text)
RUTILE_FROM_X(kNdtr, ndtr, false, "Distribution function of the standard normal distribution.")
RUTILE_FROM_X(kLogNdtr, log_ndtr, false, "Logarithm of ndtr.")
RUTILE_UNARY(kNdtri, ndtri, .infer = infer_float, .grad = grad_ndtri, .saves = {"y"},
             .amp = Amp::kHigh, .doc = "Inverse of ndtr.")
RUTILE_FUNCTION(kErfcx, erfcx, "exp(x^2) erfc(x).")
RUTILE_FROM_X(kEntr, entr, true, "-x log(x), 0 at 0 and -infinity below.")
RUTILE_FUNCTION(kI0e, i0e, "exp(-|x|) i0(x).")
RUTILE_FROM_X(kI1e, i1e, true, "exp(-|x|) i1(x).")
RUTILE_FROM_X(kBesselJ0, bessel_j0, false, "Bessel function of the first kind of order 0.")
RUTILE_FROM_X(kBesselJ1, bessel_j1, true, "Bessel function of the first kind of order 1.")
RUTILE_FROM_X(kBesselY0, bessel_y0, false, "Bessel function of the second kind of order 0.")
RUTILE_FROM_X(kBesselY1, bessel_y1, false, "Bessel function of the second kind of order 1.")
RUTILE_FROM_X(kBesselK0, bessel_k0, false, "Modified Bessel function, second kind, order 0.")
RUTILE_FROM_X(kBesselK1, bessel_k1, false, "Modified Bessel function, second kind, order 1.")
RUTILE_FROM_X(kBesselK0e, bessel_k0e, false, "exp(x) bessel_k0(x).")
RUTILE_FROM_X(kBesselK1e, bessel_k1e, false, "exp(x) bessel_k1(x).")

RUTILE_UNARY(kFrexpMantissa, frexp_mantissa, .infer = infer_floats, .grad = grad_frexp_mantissa,
             .saves = {"x"}, .zero_preserving = true,
             .doc = "x divided by a power of two, so that 0.5 <= |y| < 1.")
RUTILE_UNARY(kFrexpExponent, frexp_exponent, .infer = infer_floats, .no_grad = "piecewise constant",
             .doc = "The exponent of that power of two, as float.")

constinit const OpDef kFrexp = define({.name = "frexp",
                                       .inputs = {"x"},
                                       .outputs = {"mantissa", "exponent"},
                                       .infer = infer_frexp,
                                       .flops = flops_per_output<4>,
                                       .compose = compose_frexp,
                                       .doc = "x = mantissa * 2^exponent; exponents are i32."});
Frexp frexp(Arg x) {
  const TensorList r = call_n(kFrexp, nullptr, {{x.tensor}}, x.where);
  return {r[0], r[1]};
}

constinit const OpDef kMvlgamma =
    define({.name = "mvlgamma",
            .inputs = {"x"},
            .attrs = attrs_of<MvlgammaAttrs>(),
            .infer = infer_mvlgamma,
            .flops = mvlgamma_flops,
            .compose = compose_mvlgamma,
            .amp = Amp::kHigh,
            .doc = "Logarithm of the multivariate gamma function of dimension p."});
Tensor mvlgamma(Arg x, int64_t p) {
  const MvlgammaAttrs a{p};
  return call1(kMvlgamma, &a, {x.tensor}, x.where);
}

}  // namespace rutile::ops

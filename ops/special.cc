// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/special.h"

#include <cmath>
#include <limits>
#include <numbers>

#include "rutile/core/complex.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using std::numbers::ln10;
using std::numbers::pi;
using In = std::span<const Tensor>;

Status infer_integers(const CallMeta& c, TensorMeta* out) {
  if (!is_integral(c.in(0).dtype)) {
    return type_error(cat("expects integers, got ", c.in(0).dtype));
  }
  return infer_same(c, out);
}
Status infer_nextafter(const CallMeta& c, TensorMeta* out) {
  const DType t = c.in(0).dtype;
  if (t != DType::kF32 && t != DType::kF64) return type_error(cat("expects f32 or f64, got ", t));
  return infer_same(c, out);
}
Status infer_number_test(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).dtype == DType::kBool) return type_error("expects numbers, got bool");
  return infer_compare(c, out);
}
Status infer_f64(const CallMeta& c, TensorMeta* out) {
  if (is_complex(c.in(0).dtype)) return infer_broadcast(c, DType::kC128, out);
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  return infer_broadcast(c, DType::kF64, out);
}
Status infer_clamp(const CallMeta& c, TensorMeta* out) {
  if (!c.has(1) && !c.has(2)) return value_error("expects min or max");
  return infer_same(c, out);
}
Status infer_isclose(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<IscloseAttrs>();
  if (!(a.rtol >= 0) || !(a.atol >= 0)) {
    return value_error(cat("expects rtol and atol >= 0, got ", a.rtol, " and ", a.atol));
  }
  return or_complex<infer_compare>(c, out);
}
Status infer_polygamma(const CallMeta& c, TensorMeta* out) {
  const int64_t n = c.as<PolygammaAttrs>().n;
  if (n < 0 || n > 1000) return value_error(cat("expects n in 0 .. 1000, got ", n));
  return infer_float(c, out);
}
Status infer_logit(const CallMeta& c, TensorMeta* out) {
  const double eps = c.as<LogitAttrs>().eps;
  if (!(eps <= 0.5)) return value_error(cat("expects eps of at most 0.5, got ", eps));
  return infer_float(c, out);
}

template <class F>
GradResult both(GradCtx& c, F&& f) {
  GradResult r;
  for (int i = 0; i < 2; ++i) {
    r.push_back(c.needs(i) ? unbroadcast(f(i), c.in_meta(i)) : Tensor());
  }
  return r;
}

GradResult grad_fmod(GradCtx& c) {
  return both(c,
              [&](int i) { return i == 0 ? c.grad() : -c.grad() * trunc_div(c.in(0), c.in(1)); });
}
GradResult grad_hypot(GradCtx& c) {
  const Tensor zero = equal(c.out(), 0);
  const Tensor g = where(zero, 0.0, c.grad()) / where(zero, 1.0, c.out());
  return both(c, [&](int i) { return g * c.in(i); });
}
GradResult grad_copysign(GradCtx& c) {
  if (!c.needs(0)) return {Tensor(), Tensor()};
  return {unbroadcast(c.grad() * copysign(1.0, c.in(1)) * sign(c.in(0)), c.in_meta(0)), Tensor()};
}
GradResult grad_logaddexp(GradCtx& c) {
  const Tensor d = c.in(0) - c.in(1);
  return both(c, [&](int i) { return c.grad() * sigmoid(i == 0 ? d : -d); });
}
// Of complex numbers: by what has the larger real part; of others there are kernels.
TensorList compose_logaddexp(const void*, In in) {
  const DType t = float_dtype(in[0].dtype());
  const Tensor x = wide(cast(in[0], t)), y = wide(cast(in[1], t));
  const Tensor first = greater_equal(real(x), real(y));
  const Tensor d = where(equal(x, y), 0.0, where(first, y - x, x - y));
  return {cast(where(first, x, y) + log1p(exp(d)), t)};
}
GradResult grad_logaddexp2(GradCtx& c) {
  const Tensor d = (c.in(0) - c.in(1)) * std::numbers::ln2;
  return both(c, [&](int i) { return c.grad() * sigmoid(i == 0 ? d : -d); });
}
// The slope in x at x = 0 is taken for 0, as the value is.
GradResult grad_xlogy(GradCtx& c) {
  return both(c, [&](int i) {
    if (i == 1) return c.grad() * c.in(0) / c.in(1);
    const Tensor none = logical_and(equal(c.in(0), 0), less_equal(c.in(1), 0));
    return c.grad() * where(none, 0.0, log(c.in(1)));
  });
}
GradResult grad_xlog1py(GradCtx& c) {
  return both(c, [&](int i) {
    if (i == 1) return c.grad() * c.in(0) / (c.in(1) + 1);
    const Tensor none = logical_and(equal(c.in(0), 0), less_equal(c.in(1), -1));
    return c.grad() * where(none, 0.0, log1p(c.in(1)));
  });
}

GradResult grad_clamp(GradCtx& c) {
  const Tensor &x = c.in(0), &g = c.grad();
  const Tensor lo = c.has_in(1) ? c.in(1) : Tensor(), hi = c.has_in(2) ? c.in(2) : Tensor();
  Tensor below, above;
  if (lo.defined()) below = less(x, lo);
  if (hi.defined()) above = greater(x, hi);
  if (lo.defined() && hi.defined()) {  // crossed bounds: hi wins
    below = logical_and(below, less(lo, hi));
    above = logical_or(above, logical_and(less(hi, lo), less_equal(x, lo)));
  }
  GradResult r{Tensor(), Tensor(), Tensor()};
  if (c.needs(0)) {
    Tensor dx = g;
    if (lo.defined()) dx = where(less(x, lo), 0.0, dx);
    if (hi.defined()) dx = where(above, 0.0, dx);
    r[0] = unbroadcast(dx, c.in_meta(0));
  }
  if (lo.defined() && c.needs(1)) r[1] = unbroadcast(where(below, g, 0.0), c.in_meta(1));
  if (hi.defined() && c.needs(2)) r[2] = unbroadcast(where(above, g, 0.0), c.in_meta(2));
  return r;
}

GradResult grad_frac(GradCtx& c) { return {c.grad()}; }
GradResult grad_log10(GradCtx& c) { return {c.grad() / (c.in(0) * ln10)}; }
GradResult grad_cbrt(GradCtx& c) { return {c.grad() / (square(c.out()) * 3)}; }
GradResult grad_sinc(GradCtx& c) {
  const Tensor x = wide(c.in(0)), zero = equal(x, 0), safe = where(zero, 1.0, x);
  const Tensor t = x * pi;
  const Tensor slope = (cos(t) - sin(t) / (safe * pi)) / safe;
  return {cast(wide(c.grad()) * where(zero, x * (-pi * pi / 3), slope), c.in_meta(0).dtype)};
}
// Of complex numbers; of others there are kernels.
TensorList compose_sinc(const void*, In in) {
  const DType t = float_dtype(in[0].dtype());
  const Tensor x = wide(cast(in[0], t)), zero = equal(x, 0), turns = where(zero, 1.0, x) * pi;
  return {cast(where(zero, 1.0, sin(turns) / turns), t)};
}
GradResult grad_deg2rad(GradCtx& c) { return {c.grad() * (pi / 180)}; }
GradResult grad_rad2deg(GradCtx& c) { return {c.grad() * (180 / pi)}; }
GradResult grad_erfinv(GradCtx& c) {
  return {c.grad() * (0.5 / std::numbers::inv_sqrtpi) * exp(square(c.out()))};
}
GradResult grad_lgamma(GradCtx& c) { return {c.grad() * digamma(c.in(0))}; }
GradResult grad_digamma(GradCtx& c) { return {c.grad() * polygamma(1, c.in(0))}; }
GradResult grad_polygamma(GradCtx& c) {
  return {c.grad() * polygamma(c.attrs<PolygammaAttrs>().n + 1, c.in(0))};
}
GradResult grad_i0(GradCtx& c) { return {c.grad() * i1(c.in(0))}; }
GradResult grad_i1(GradCtx& c) {
  const Tensor x = wide(c.in(0)), zero = equal(x, 0);
  const Tensor slope = where(zero, 0.5, i0(x) - i1(x) / where(zero, 1.0, x));
  return {cast(wide(c.grad()) * slope, c.in_meta(0).dtype)};
}
GradResult grad_nan_to_num(GradCtx& c) { return {where(isfinite(c.in(0)), c.grad(), 0.0)}; }

TensorList compose_ldexp(const void*, In in) {
  if (is_complex(in[0].dtype())) return {in[0] * exp(in[1] * std::numbers::ln2)};
  const DType t = is_floating(in[0].dtype()) ? in[0].dtype() : DType::kF32;
  return {cast(cast(in[0], wide(t)) * exp2(cast(in[1], wide(t))), t)};
}
TensorList compose_float_power(const void*, In in) {
  const DType t = is_complex(in[0].dtype()) ? DType::kC128 : DType::kF64;
  return {pow(cast(in[0], t), cast(in[1], t))};
}
TensorList compose_isclose(const void* attrs, In in) {
  const auto& a = *static_cast<const IscloseAttrs*>(attrs);
  const bool floats = is_differentiable(in[0].dtype());
  const Tensor x = floats ? wide(in[0]) : cast(in[0], DType::kF64);
  const Tensor y = floats ? wide(in[1]) : cast(in[1], DType::kF64);
  const Tensor distance = abs(x - y);
  Tensor close = logical_and(isfinite(distance), less_equal(distance, abs(y) * a.rtol + a.atol));
  close = logical_or(close, equal(in[0], in[1]));
  if (a.equal_nan) close = logical_or(close, logical_and(isnan(x), isnan(y)));
  return {close};
}
// Of complex numbers; real ones have a kernel.
TensorList compose_lerp(const void*, In in) {
  const Tensor x = wide(in[0]), end = wide(in[1]), w = wide(in[2]), d = end - x;
  return {cast(where(less(abs(w), 0.5), x + w * d, end - d * (1 - w)), in[0].dtype())};
}
GradResult grad_lerp(GradCtx& c) {
  const Tensor g = wide(c.grad()), w = wide(c.in(2));
  GradResult r{Tensor(), Tensor(), Tensor()};
  if (c.needs(0)) r[0] = unbroadcast(g * conj(1 - w), c.in_meta(0));
  if (c.needs(1)) r[1] = unbroadcast(g * conj(w), c.in_meta(1));
  if (c.needs(2)) r[2] = unbroadcast(g * conj(wide(c.in(1)) - wide(c.in(0))), c.in_meta(2));
  return r;
}
// Integers stay integers.
Tensor times(const Tensor& x, double value) {
  if (is_differentiable(x.dtype()) || value != std::floor(value)) return x * value;
  return x * Scalar(static_cast<int64_t>(value));
}
TensorList compose_addcmul(const void* attrs, In in) {
  const double value = static_cast<const ScaledAttrs*>(attrs)->value;
  const Tensor y = wide(in[0]) + times(wide(in[1]) * wide(in[2]), value);
  return {cast(y, in[0].dtype())};
}
TensorList compose_addcdiv(const void* attrs, In in) {
  const double value = static_cast<const ScaledAttrs*>(attrs)->value;
  return {cast(wide(in[0]) + wide(in[1]) / wide(in[2]) * value, in[0].dtype())};
}
TensorList compose_clamp(const void*, In in) {
  const Tensor lo = operand(in, 1), hi = operand(in, 2);
  Tensor y = in[0];
  if (lo.defined()) y = maximum(y, lo);
  if (hi.defined()) y = minimum(y, hi);
  return {y};
}
TensorList compose_logit(const void* attrs, In in) {
  const double eps = static_cast<const LogitAttrs*>(attrs)->eps;
  const DType t = is_floating(in[0].dtype()) ? in[0].dtype() : DType::kF32;
  Tensor x = cast(in[0], wide(t));
  if (eps >= 0) {
    x = clip(x, {eps, 1 - eps});
  } else {
    // Where there is no value there is no slope either.
    const Tensor nan = scalar_like(x, std::numeric_limits<double>::quiet_NaN());
    x = x * where(logical_and(greater_equal(x, 0.0), less_equal(x, 1.0)), 1.0, nan);
  }
  return {cast(log(x) - log1p(-x), t)};
}

constexpr const char* kSteps = "piecewise constant";

}  // namespace

RUTILE_BINARY(kTruncDiv, trunc_div, .infer = infer_number, .amp = Amp::kPromote,
              .checks_values = true, .no_grad = kSteps,
              .doc = "x / y cut off towards zero; dividing an integer by zero is an error.")
RUTILE_BINARY(kFmod, fmod, .infer = infer_number, .grad = grad_fmod, .saves = {"x", "y"},
              .amp = Amp::kPromote, .checks_values = true,
              .doc = "x - y * trunc(x / y), with the sign of x; integer y = 0 is an error.")
#define RUTILE_INTEGERS(constant, function, text)                                        \
  RUTILE_BINARY(constant, function, .infer = infer_integers, .no_grad = "integers only", \
                .doc = text)
RUTILE_INTEGERS(kGcd, gcd, "Greatest common divisor of |x| and |y|.")
RUTILE_INTEGERS(kLcm, lcm, "Least common multiple of |x| and |y|.")
RUTILE_INTEGERS(kLeftShift, bitwise_left_shift, "The bits of x moved up by y places.")
RUTILE_INTEGERS(kRightShift, bitwise_right_shift, "The bits of x moved down by y places.")

RUTILE_BINARY(kHypot, hypot, .infer = infer_float, .grad = grad_hypot, .saves = {"x", "y", "z"},
              .amp = Amp::kPromote, .zero_preserving = true,
              .doc = "sqrt(x^2 + y^2) without overflow; the gradient at (0, 0) is 0.")
RUTILE_BINARY(kCopysign, copysign, .infer = infer_float, .grad = grad_copysign, .saves = {"x", "y"},
              .amp = Amp::kPromote, .doc = "|x| with the sign of y.")
RUTILE_BINARY(kNextafter, nextafter, .infer = infer_nextafter, .no_grad = kSteps,
              .doc = "The floating number next to x in the direction of y.")
RUTILE_BINARY(kHeaviside, heaviside, .infer = infer_number, .amp = Amp::kPromote, .no_grad = kSteps,
              .doc = "0 for x < 0, y for x = 0, 1 for x > 0.")
RUTILE_BINARY(kLogAddExp, logaddexp, .infer = or_complex<infer_float>,
              .grad = holomorphic<grad_logaddexp>, .saves = {"x", "y"},
              .compose = compose_logaddexp, .amp = Amp::kHigh,
              .doc = "log(exp(x) + exp(y)) without overflow.")
RUTILE_BINARY(kLogAddExp2, logaddexp2, .infer = infer_float, .grad = grad_logaddexp2,
              .saves = {"x", "y"}, .amp = Amp::kHigh, .doc = "log2(2^x + 2^y) without overflow.")
RUTILE_BINARY(kXlogy, xlogy, .infer = infer_float, .grad = grad_xlogy, .saves = {"x", "y"},
              .amp = Amp::kHigh, .doc = "x * log(y), 0 where x is 0 and y is no NaN.")
RUTILE_BINARY(kXlog1py, xlog1py, .infer = infer_float, .grad = grad_xlog1py, .saves = {"x", "y"},
              .amp = Amp::kHigh, .doc = "x * log(1 + y), 0 where x is 0 and y is no NaN.")

// Compositions: what fuses is inside them.
#define RUTILE_COMPOSED(constant, function, infer_fn, precision, steps, text) \
  constinit const OpDef constant = define({.name = #function,                 \
                                           .inputs = {"x", "y"},              \
                                           .outputs = {"z"},                  \
                                           .infer = infer_fn,                 \
                                           .flops = flops_per_output<steps>,  \
                                           .compose = compose_##function,     \
                                           .amp = precision,                  \
                                           .promote = true,                   \
                                           .doc = text});                     \
  Tensor function(Arg x, Arg y) { return binary(constant, x, y); }            \
  Tensor function(Arg x, Scalar y) { return binary(constant, x, y); }         \
  Tensor function(Scalar x, Arg y) { return binary(constant, x, y); }
RUTILE_COMPOSED(kLdexp, ldexp, or_complex<infer_float>, Amp::kHigh, 2, "x * 2^y.")
RUTILE_COMPOSED(kFloatPower, float_power, infer_f64, Amp::kKeep, 8, "x to the power y in f64.")

constinit const OpDef kIsclose = define({.name = "isclose",
                                         .inputs = {"x", "y"},
                                         .outputs = {"z"},
                                         .attrs = attrs_of<IscloseAttrs>(),
                                         .infer = infer_isclose,
                                         .flops = flops_per_output<6>,
                                         .compose = compose_isclose,
                                         .promote = true,
                                         .no_grad = "gives bool",
                                         .doc = "|x - y| <= atol + rtol |y| as bool."});
Tensor isclose(Arg x, Arg y, IscloseAttrs attrs) {
  return call1(kIsclose, &attrs, {x.tensor, y.tensor}, x.where);
}
Tensor allclose(Arg x, Arg y, IscloseAttrs attrs) { return all(isclose(x, y, attrs)); }

constinit const OpDef kLerp = define({.name = "lerp",
                                      .inputs = {"x", "end", "weight"},
                                      .infer = or_complex<infer_floats>,
                                      .flops = flops_per_output<5>,
                                      .grad = grad_lerp,
                                      .saves = {"x", "end", "weight"},
                                      .compose = compose_lerp,
                                      .amp = Amp::kPromote,
                                      .elementwise = true,
                                      .promote = true,
                                      .doc = "x + weight * (end - x)."});
Tensor lerp(Arg x, Arg end, Arg weight) {
  return call1(kLerp, nullptr, {x.tensor, end.tensor, weight.tensor}, x.where);
}

constinit const OpDef kAddcmul = define({.name = "addcmul",
                                         .inputs = {"x", "t1", "t2"},
                                         .attrs = attrs_of<ScaledAttrs>(),
                                         .infer = or_complex<infer_number>,
                                         .flops = flops_per_output<3>,
                                         .compose = compose_addcmul,
                                         .amp = Amp::kPromote,
                                         .promote = true,
                                         .doc = "x + value * t1 * t2."});
Tensor addcmul(Arg x, Arg t1, Arg t2, ScaledAttrs attrs) {
  return call1(kAddcmul, &attrs, {x.tensor, t1.tensor, t2.tensor}, x.where);
}
constinit const OpDef kAddcdiv = define({.name = "addcdiv",
                                         .inputs = {"x", "t1", "t2"},
                                         .attrs = attrs_of<ScaledAttrs>(),
                                         .infer = or_complex<infer_floats>,
                                         .flops = flops_per_output<3>,
                                         .compose = compose_addcdiv,
                                         .amp = Amp::kPromote,
                                         .promote = true,
                                         .doc = "x + value * t1 / t2."});
Tensor addcdiv(Arg x, Arg t1, Arg t2, ScaledAttrs attrs) {
  return call1(kAddcdiv, &attrs, {x.tensor, t1.tensor, t2.tensor}, x.where);
}

constinit const OpDef kClamp = define({.name = "clamp",
                                       .inputs = {"x", "min?", "max?"},
                                       .infer = infer_clamp,
                                       .flops = flops_per_output<2>,
                                       .grad = grad_clamp,
                                       .saves = {"x", "min", "max"},
                                       .compose = compose_clamp,
                                       .amp = Amp::kPromote,
                                       .promote = true,
                                       .doc = "min(max(x, min), max) with tensors as bounds."});
Tensor clamp(Arg x, const Tensor& lo, const Tensor& hi) {
  return call1(kClamp, nullptr, {x.tensor, lo, hi}, x.where);
}

RUTILE_UNARY(kFrac, frac, .infer = infer_floats, .grad = grad_frac, .zero_preserving = true,
             .doc = "x - trunc(x).")
#define RUTILE_PREDICATE(constant, function, text) \
  RUTILE_UNARY(constant, function, .infer = infer_number_test, .no_grad = "gives bool", .doc = text)
RUTILE_PREDICATE(kSignBit, signbit, "True where the sign bit is set.")
RUTILE_PREDICATE(kIsPosInf, isposinf, "True where x is +infinity.")
RUTILE_PREDICATE(kIsNegInf, isneginf, "True where x is -infinity.")

#define RUTILE_FUNCTION(constant, function, saved, precision, zero, text)         \
  RUTILE_UNARY(constant, function, .infer = infer_float, .grad = grad_##function, \
               .saves = {saved}, .amp = precision, .zero_preserving = zero, .doc = text)
RUTILE_UNARY(kLog10, log10, .infer = or_complex<infer_float>, .grad = holomorphic<grad_log10>,
             .saves = {"x"}, .amp = Amp::kHigh, .doc = "Logarithm to base 10.")
RUTILE_FUNCTION(kCbrt, cbrt, "y", Amp::kKeep, true, "Cube root.")
RUTILE_UNARY(kSinc, sinc, .infer = or_complex<infer_float>, .grad = holomorphic<grad_sinc>,
             .saves = {"x"}, .compose = compose_sinc, .doc = "sin(pi x) / (pi x), 1 at 0.")
RUTILE_FUNCTION(kErfinv, erfinv, "y", Amp::kHigh, true, "Inverse error function.")
RUTILE_FUNCTION(kLgamma, lgamma, "x", Amp::kHigh, false, "Logarithm of |gamma(x)|.")
RUTILE_FUNCTION(kDigamma, digamma, "x", Amp::kHigh, false, "Derivative of lgamma.")
RUTILE_FUNCTION(kI0, i0, "x", Amp::kHigh, false, "Modified Bessel function of order 0.")
RUTILE_FUNCTION(kI1, i1, "x", Amp::kHigh, true, "Modified Bessel function of order 1.")
RUTILE_UNARY(kDeg2Rad, deg2rad, .infer = infer_float, .grad = grad_deg2rad, .zero_preserving = true,
             .doc = "Degrees as radians: x * pi / 180.")
RUTILE_UNARY(kRad2Deg, rad2deg, .infer = infer_float, .grad = grad_rad2deg, .zero_preserving = true,
             .doc = "Radians as degrees: x * 180 / pi.")

constinit const OpDef kPolygamma = define(elementwise({.name = "polygamma",
                                                       .inputs = {"x"},
                                                       .attrs = attrs_of<PolygammaAttrs>(),
                                                       .infer = infer_polygamma,
                                                       .grad = grad_polygamma,
                                                       .saves = {"x"},
                                                       .amp = Amp::kHigh,
                                                       .doc = "The n-th derivative of digamma."}));
Tensor polygamma(int64_t n, Arg x) {
  const PolygammaAttrs a{n};
  return call1(kPolygamma, &a, {x.tensor}, x.where);
}

constinit const OpDef kLogit = define({.name = "logit",
                                       .inputs = {"x"},
                                       .attrs = attrs_of<LogitAttrs>(),
                                       .infer = infer_logit,
                                       .flops = flops_per_output<4>,
                                       .compose = compose_logit,
                                       .amp = Amp::kHigh,
                                       .doc = "log(x / (1 - x)), x limited to [eps, 1 - eps]."});
Tensor logit(Arg x, LogitAttrs attrs) { return call1(kLogit, &attrs, {x.tensor}, x.where); }

void nan_to_num_values(const NanToNumAttrs& a, DType dtype, double* values) {
  const double largest = dtype == DType::kF64    ? std::numeric_limits<double>::max()
                         : dtype == DType::kF16  ? 65504.0
                         : dtype == DType::kBF16 ? 0x1.FEp127
                                                 : std::numeric_limits<float>::max();
  values[0] = a.nan;
  values[1] = std::isnan(a.posinf) ? largest : a.posinf;
  values[2] = std::isnan(a.neginf) ? -largest : a.neginf;
}
constinit const OpDef kNanToNum =
    define(elementwise({.name = "nan_to_num",
                        .inputs = {"x"},
                        .attrs = attrs_of<NanToNumAttrs>(),
                        .infer = infer_number,
                        .grad = grad_nan_to_num,
                        .saves = {"x"},
                        .doc = "x with NaN and infinities replaced by finite numbers."}));
Tensor nan_to_num(Arg x, NanToNumAttrs attrs) {
  return call1(kNanToNum, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops

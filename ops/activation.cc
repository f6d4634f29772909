// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "rutile/core/complex.h"
#include "rutile/ops/activation.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/control.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"
#include "rutile/ops/random_infer.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;
template <class A>
const A& as(const void* attrs) {
  return *static_cast<const A*>(attrs);
}

Status infer_celu(const CallMeta& c, TensorMeta* out) {
  const double alpha = c.as<CeluAttrs>().alpha;
  if (alpha == 0 || !std::isfinite(alpha)) {
    return value_error(cat("expects a finite alpha other than 0, got ", alpha));
  }
  return infer_floats(c, out);
}
Status infer_hardtanh(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<HardtanhAttrs>();
  if (!(a.min_val <= a.max_val)) {
    return value_error(cat("expects min_val <= max_val, got ", a.min_val, " and ", a.max_val));
  }
  return infer_number(c, out);
}
Status infer_shrink(const CallMeta& c, TensorMeta* out) {
  const double lambd = c.as<ShrinkAttrs>().lambd;
  if (std::isnan(lambd) || (lambd < 0 && c.op == &kSoftshrink)) {
    return value_error(cat("expects lambd >= 0, got ", lambd));
  }
  return infer_floats(c, out);
}
Status infer_threshold(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ThresholdAttrs>();
  if (std::isnan(a.threshold)) return value_error("threshold must not be NaN");
  if (std::isnan(a.value) && is_integral(c.in(0).dtype)) {
    return value_error("value must be a number");
  }
  return infer_number(c, out);
}
// x's meta, kept dense as it lies.
Status like_x(const TensorMeta& x, TensorMeta* out) {
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  *out = x.layout == kStrided && x.is_dense() ? x : TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}
Status infer_prelu(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &w = c.in(1);
  const int64_t channels = x.rank() > 1 ? x.dim(1) : 1;
  if (w.rank() > 1 || (w.numel() != 1 && w.numel() != channels)) {
    return value_error(cat("weight expects shape [1] or [", channels, "], got ", w.shape));
  }
  if (w.dtype != x.dtype) {
    return type_error(cat("expects inputs of one dtype, got ", x.dtype, " and ", w.dtype));
  }
  return like_x(x, out);
}
Status infer_rrelu(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<RreluAttrs>();
  RUTILE_RETURN_IF_ERROR(check_key(c.in(0)));
  if (!(a.lower <= a.upper) || !std::isfinite(a.upper - a.lower)) {
    return value_error(cat("expects lower <= upper, both finite, got ", a.lower, " and ", a.upper));
  }
  return like_x(c.in(1), out);
}
Status infer_glu(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<GluAttrs>().axis, x.rank(), &axis));
  if (x.dim(axis) % 2 != 0) {
    return value_error(cat("expects an even size of axis ", axis, ", got ", x.dim(axis)));
  }
  Shape half = x.shape;
  half[axis] /= 2;
  *out = TensorMeta(half, x.dtype, x.device);
  return Status();
}
Status infer_rows(const TensorMeta& x, int64_t wanted, TensorMeta* out) {
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(wanted, std::max(x.rank(), 1), &axis));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}
Status infer_softmin(const CallMeta& c, TensorMeta* out) {
  return infer_rows(c.in(0), c.as<SoftminAttrs>().axis, out);
}
Status infer_gumbel(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<GumbelSoftmaxAttrs>();
  RUTILE_RETURN_IF_ERROR(check_key(c.in(0)));
  if (!(a.tau > 0)) return value_error(cat("expects tau > 0, got ", a.tau));
  return infer_rows(c.in(1), a.axis, out);
}

// Gradients: g times the slope at x, both in f32 at least.
template <class F>
GradResult times_slope(GradCtx& c, F&& slope) {
  return {cast(wide(c.grad()) * slope(wide(c.in(0))), c.in_meta(0).dtype)};
}
GradResult grad_selu(GradCtx& c) {
  constexpr double kScale = 1.0507009873554804934193349852946;
  constexpr double kAlpha = 1.6732632423543772848170429916717;
  return times_slope(c, [](const Tensor& x) {
    return where(greater(x, 0), kScale, exp(minimum(x, 0)) * (kScale * kAlpha));
  });
}
GradResult grad_celu(GradCtx& c) {
  const double alpha = c.attrs<CeluAttrs>().alpha;
  return times_slope(c, [&](const Tensor& x) {
    return where(greater(x, 0), 1.0, exp(minimum(x, 0) * (1 / alpha)));
  });
}
GradResult grad_mish(GradCtx& c) {
  return times_slope(c, [](const Tensor& x) {
    const Tensor t = tanh(softplus(x));
    return t + x * sigmoid(x) * (1 - square(t));
  });
}
GradResult grad_softsign(GradCtx& c) {
  const Tensor& x = c.in(0);
  if (is_complex(x.dtype())) {  // no derivative by x alone: 1 / (1 + |x|) moves along x
    const Tensor size = abs(x), r = reciprocal(size + 1);
    return {c.grad() * r - over_root(real(conj(c.grad()) * x) * square(r), size) * x};
  }
  return times_slope(c, [](const Tensor& x) { return reciprocal(square(abs(x) + 1)); });
}
GradResult grad_logsigmoid(GradCtx& c) {
  return times_slope(c, [](const Tensor& x) { return sigmoid(-x); });
}
GradResult grad_threshold(GradCtx& c) {
  return {where(less_equal(wide(c.in(0)), c.attrs<ThresholdAttrs>().threshold), 0.0, c.grad())};
}
GradResult grad_shrink(GradCtx& c) {
  const Tensor near = less_equal(abs(wide(c.in(0))), c.attrs<ShrinkAttrs>().lambd);
  return {where(near, 0.0, c.grad())};
}
GradResult grad_hardtanh(GradCtx& c) {
  const auto& a = c.attrs<HardtanhAttrs>();
  const Tensor x = wide(c.in(0));
  const Tensor outside = logical_or(less_equal(x, a.min_val), greater_equal(x, a.max_val));
  return {where(outside, 0.0, c.grad())};
}

// Of complex numbers; of others there are kernels.
TensorList compose_softsign(const void*, In in) {
  const Tensor x = wide(in[0]);
  return {cast(x / (abs(x) + 1), in[0].dtype())};
}
TensorList compose_hardtanh(const void* attrs, In in) {
  const auto& a = as<HardtanhAttrs>(attrs);
  return {clip(in[0], {a.min_val, a.max_val})};
}
TensorList compose_tanhshrink(const void*, In in) {
  const DType t = float_dtype(in[0].dtype());
  const Tensor x = wide(cast(in[0], t));
  return {cast(x - tanh(x), t)};
}
TensorList compose_prelu(const void*, In in) {
  const Tensor& x = in[0];
  Shape shape = Shape::filled(x.rank(), 1);
  if (in[1].numel() != 1) shape[1] = in[1].numel();
  return {where(greater(x, 0), x, x * reshape(in[1], shape))};
}
TensorList compose_rrelu(const void* attrs, In in) {
  const auto& a = as<RreluAttrs>(attrs);
  const Tensor& x = in[1];
  if (a.lower == a.upper) return {leaky_relu(x, {a.lower})};
  const Tensor slope = random_uniform(in[0], {x.shape(), a.lower, a.upper, x.dtype()});
  return {where(greater(x, 0), x, x * slope)};
}
TensorList compose_glu(const void* attrs, In in) {
  const std::vector<Tensor> halves = split(in[0], 2, as<GluAttrs>(attrs).axis);
  return {halves[0] * sigmoid(halves[1])};
}
TensorList compose_softmin(const void* attrs, In in) {
  return {softmax(-in[0], as<SoftminAttrs>(attrs).axis)};
}
TensorList compose_gumbel_softmax(const void* attrs, In in) {
  const auto& a = as<GumbelSoftmaxAttrs>(attrs);
  const Tensor x = wide(in[1]);
  if (x.numel() == 0) return {in[1]};
  const Tensor u = random_uniform(in[0], {.shape = x.shape(), .dtype = x.dtype()});
  const Tensor gumbel = -log(-log(maximum(u, 1e-38)));
  const Tensor y = softmax((x + gumbel) * (1 / a.tau), a.axis);
  if (!a.hard || x.rank() == 0) return {cast(y, in[1].dtype())};
  const int axis = static_cast<int>(a.axis < 0 ? a.axis + x.rank() : a.axis);
  Shape line = Shape::filled(x.rank(), 1);
  line[axis] = x.dim(axis);
  const Tensor place = reshape(arange(0, x.dim(axis)), line);
  const Tensor hit = equal(place, argmax(y, {.axes = {axis}, .keepdims = true}));
  const Tensor one = cast(hit, x.dtype());
  return {cast(one + (y - stop_gradient(y)), in[1].dtype())};
}

}  // namespace

#define RUTILE_ACTIVATION(constant, function, zero, text)                                          \
  RUTILE_UNARY(constant, function, .infer = infer_floats, .grad = grad_##function, .saves = {"x"}, \
               .zero_preserving = zero, .doc = text)
RUTILE_ACTIVATION(kSelu, selu, true, "scale * (x > 0 ? x : alpha * (exp(x) - 1)).")
RUTILE_ACTIVATION(kMish, mish, true, "x * tanh(softplus(x)).")
RUTILE_UNARY(kSoftsign, softsign, .infer = or_complex<infer_floats>, .grad = grad_softsign,
             .saves = {"x"}, .compose = compose_softsign, .zero_preserving = true,
             .doc = "x / (1 + |x|).")
RUTILE_ACTIVATION(kLogSigmoid, logsigmoid, false, "log(sigmoid(x)).")

#define RUTILE_ACTIVATION_OF(constant, function, Attrs, infer_fn, grad_fn, zero, text) \
  constinit const OpDef constant = define(elementwise({.name = #function,              \
                                                       .inputs = {"x"},                \
                                                       .attrs = attrs_of<Attrs>(),     \
                                                       .infer = infer_fn,              \
                                                       .grad = grad_fn,                \
                                                       .saves = {"x"},                 \
                                                       .zero_preserving = zero,        \
                                                       .doc = text}));                 \
  Tensor function(Arg x, Attrs attrs) { return call1(constant, &attrs, {x.tensor}, x.where); }
RUTILE_ACTIVATION_OF(kCelu, celu, CeluAttrs, infer_celu, grad_celu, true,
                     "x > 0 ? x : alpha * (exp(x / alpha) - 1).")
RUTILE_ACTIVATION_OF(kThreshold, threshold, ThresholdAttrs, infer_threshold, grad_threshold, false,
                     "x > threshold ? x : value.")
RUTILE_ACTIVATION_OF(kSoftshrink, softshrink, ShrinkAttrs, infer_shrink, grad_shrink, true,
                     "x moved by lambd towards 0, which it does not cross.")
RUTILE_ACTIVATION_OF(kHardshrink, hardshrink, ShrinkAttrs, infer_shrink, grad_shrink, true,
                     "0 where |x| <= lambd, else x.")

constinit const OpDef kHardtanh = define({.name = "hardtanh",
                                          .inputs = {"x"},
                                          .attrs = attrs_of<HardtanhAttrs>(),
                                          .infer = infer_hardtanh,
                                          .flops = flops_per_output<2>,
                                          .grad = grad_hardtanh,
                                          .saves = {"x"},
                                          .compose = compose_hardtanh,
                                          .doc = "x limited to [min_val, max_val]."});
Tensor hardtanh(Arg x, HardtanhAttrs attrs) {
  return call1(kHardtanh, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kTanhshrink = define({.name = "tanhshrink",
                                            .inputs = {"x"},
                                            .infer = or_complex<infer_float>,
                                            .flops = flops_per_output<2>,
                                            .compose = compose_tanhshrink,
                                            .doc = "x - tanh(x)."});
Tensor tanhshrink(Arg x) { return call1(kTanhshrink, nullptr, {x.tensor}, x.where); }

constinit const OpDef kPrelu = define({.name = "prelu",
                                       .inputs = {"x", "weight"},
                                       .infer = infer_prelu,
                                       .flops = flops_per_output<2>,
                                       .compose = compose_prelu,
                                       .amp = Amp::kPromote,
                                       .promote = true,
                                       .doc = "x > 0 ? x : weight * x, a weight by channel."});
Tensor prelu(Arg x, Arg weight) {
  return call1(kPrelu, nullptr, {x.tensor, weight.tensor}, x.where);
}

constinit const OpDef kRrelu = define({.name = "rrelu",
                                       .inputs = {"key", "x"},
                                       .attrs = attrs_of<RreluAttrs>(),
                                       .infer = infer_rrelu,
                                       .flops = flops_per_output<12>,
                                       .compose = compose_rrelu,
                                       .doc = "x > 0 ? x : a * x with random slopes a."});
Tensor rrelu(Arg key, Arg x, RreluAttrs attrs) {
  return call1(kRrelu, &attrs, {key.tensor, x.tensor}, x.where);
}
Tensor rrelu(Arg x, RreluAttrs attrs) { return rrelu(default_generator().next_key(), x, attrs); }

constinit const OpDef kGlu = define({.name = "glu",
                                     .inputs = {"x"},
                                     .attrs = attrs_of<GluAttrs>(),
                                     .infer = infer_glu,
                                     .flops = flops_per_output<2>,
                                     .compose = compose_glu,
                                     .doc = "The first half times the sigmoid of the second."});
Tensor glu(Arg x, int64_t axis) {
  const GluAttrs a{axis};
  return call1(kGlu, &a, {x.tensor}, x.where);
}

constinit const OpDef kSoftmin = define({.name = "softmin",
                                         .inputs = {"x"},
                                         .attrs = attrs_of<SoftminAttrs>(),
                                         .infer = infer_softmin,
                                         .flops = flops_per_output<5>,
                                         .compose = compose_softmin,
                                         .amp = Amp::kHigh,
                                         .doc = "softmax(-x) along an axis."});
Tensor softmin(Arg x, int64_t axis) {
  const SoftminAttrs a{axis};
  return call1(kSoftmin, &a, {x.tensor}, x.where);
}

constinit const OpDef kGumbelSoftmax =
    define({.name = "gumbel_softmax",
            .inputs = {"key", "logits"},
            .attrs = attrs_of<GumbelSoftmaxAttrs>(),
            .infer = infer_gumbel,
            .flops = flops_per_output<16>,
            .compose = compose_gumbel_softmax,
            .amp = Amp::kHigh,
            .doc = "A soft (or one-hot) sample of a class by the Gumbel trick."});
Tensor gumbel_softmax(Arg key, Arg logits, GumbelSoftmaxAttrs attrs) {
  return call1(kGumbelSoftmax, &attrs, {key.tensor, logits.tensor}, logits.where);
}
Tensor gumbel_softmax(Arg logits, GumbelSoftmaxAttrs attrs) {
  return gumbel_softmax(default_generator().next_key(), logits, attrs);
}

Tensor softplus(Arg x, double beta, double threshold) {
  const Tensor scaled = x.tensor * beta;
  return where(greater(scaled, threshold), x, softplus(scaled) / beta);
}

}  // namespace rutile::ops

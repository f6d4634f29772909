// SPDX-License-Identifier: Apache-2.0
// Activations and their one-pass gradients. A gradient op has no gradient rule of its own: its
// composition is differentiated.
#include <cmath>
#include <numbers>

#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

Status infer_clip(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ClipAttrs>();
  if (std::isnan(a.min) || std::isnan(a.max)) return value_error("bounds must not be NaN");
  return infer_number(c, out);
}

GradResult grad_relu(GradCtx& c) { return {relu_grad(c.grad(), c.out())}; }
GradResult grad_relu6(GradCtx& c) { return {relu6_grad(c.grad(), c.out())}; }
GradResult grad_sigmoid(GradCtx& c) {
  const Tensor& y = c.out();
  if (is_complex(y.dtype())) return {c.grad() * y * (1 - y)};
  return {sigmoid_grad(c.grad(), y)};
}
GradResult grad_silu(GradCtx& c) {
  const Tensor& x = c.in(0);
  if (!is_complex(x.dtype())) return {silu_grad(c.grad(), x)};
  const Tensor s = sigmoid(x);
  return {c.grad() * s * (x * (1 - s) + 1)};
}
GradResult grad_softplus(GradCtx& c) { return {c.grad() * sigmoid(c.in(0))}; }
GradResult grad_hsigmoid(GradCtx& c) { return {hsigmoid_grad(c.grad(), c.in(0))}; }
GradResult grad_hswish(GradCtx& c) { return {hswish_grad(c.grad(), c.in(0))}; }
GradResult grad_gelu(GradCtx& c) { return {gelu_grad(c.grad(), c.in(0), c.attrs<GeluAttrs>())}; }
GradResult grad_leaky_relu(GradCtx& c) {
  return {leaky_relu_grad(c.grad(), c.in(0), c.attrs<LeakyReluAttrs>())};
}
GradResult grad_elu(GradCtx& c) { return {elu_grad(c.grad(), c.in(0), c.attrs<EluAttrs>())}; }
GradResult grad_clip(GradCtx& c) { return {clip_grad(c.grad(), c.in(0), c.attrs<ClipAttrs>())}; }

using In = std::span<const Tensor>;
template <class A>
const A& as(const void* attrs) {
  return *static_cast<const A*>(attrs);
}

// Compositions of several steps run in f32 at least, as the kernels do.
TensorList narrow(const Tensor& result, const Tensor& like) { return {cast(result, like.dtype())}; }

// Of complex numbers; of others there are kernels.
TensorList compose_silu(const void*, In in) {
  const Tensor x = wide(in[0]);
  return narrow(x * sigmoid(x), in[0]);
}

TensorList compose_relu_grad(const void*, In in) { return {where(less_equal(in[1], 0), 0, in[0])}; }
TensorList compose_relu6_grad(const void*, In in) {
  return {where(logical_or(less_equal(in[1], 0), greater_equal(in[1], 6)), 0, in[0])};
}
TensorList compose_sigmoid_grad(const void*, In in) {
  const Tensor y = wide(in[1]);
  return narrow(wide(in[0]) * y * (1 - y), in[0]);
}
TensorList compose_tanh_grad(const void*, In in) {
  const Tensor y = wide(in[1]);
  return narrow(wide(in[0]) * (1 - square(y)), in[0]);
}
TensorList compose_silu_grad(const void*, In in) {
  const Tensor x = wide(in[1]), s = sigmoid(x);
  return narrow(wide(in[0]) * s * (x * (1 - s) + 1), in[0]);
}
TensorList compose_hsigmoid_grad(const void*, In in) {
  const Tensor inside = logical_and(greater(in[1], -3), less(in[1], 3));
  return narrow(where(inside, wide(in[0]) * (1.0 / 6), 0.0), in[0]);
}
TensorList compose_hswish_grad(const void*, In in) {
  const Tensor dy = wide(in[0]), x = wide(in[1]);
  const Tensor inside = dy * (x * (1.0 / 3) + 0.5);
  return narrow(where(less_equal(x, -3), 0.0, where(greater_equal(x, 3), dy, inside)), in[0]);
}
TensorList compose_gelu_grad(const void* attrs, In in) {
  using std::numbers::inv_sqrtpi;
  using std::numbers::sqrt2;
  const Tensor dy = wide(in[0]), x = wide(in[1]);
  if (as<GeluAttrs>(attrs).approximate == GeluApproximate::kNone) {
    const Tensor cdf = (erf(x * (0.5 * sqrt2)) + 1) * 0.5;
    const Tensor density = exp(square(x) * -0.5) * (inv_sqrtpi * 0.5 * sqrt2);
    return narrow(dy * (cdf + x * density), in[0]);
  }
  constexpr double kScale = sqrt2 * inv_sqrtpi, kCubic = 0.044715;
  const Tensor x2 = square(x);
  const Tensor t = tanh(x * (x2 * kCubic + 1) * kScale);
  const Tensor du = (x2 * (3 * kCubic) + 1) * kScale;
  return narrow(dy * ((t + 1) * 0.5 + x * 0.5 * (1 - square(t)) * du), in[0]);
}
TensorList compose_leaky_relu_grad(const void* attrs, In in) {
  const double alpha = as<LeakyReluAttrs>(attrs).alpha;
  return narrow(where(greater(in[1], 0), wide(in[0]), wide(in[0]) * alpha), in[0]);
}
TensorList compose_elu_grad(const void* attrs, In in) {
  const double alpha = as<EluAttrs>(attrs).alpha;
  const Tensor dy = wide(in[0]), x = wide(in[1]);
  return narrow(where(greater(x, 0), dy, dy * alpha * exp(minimum(x, 0))), in[0]);
}
TensorList compose_clip_grad(const void* attrs, In in) {
  const auto& a = as<ClipAttrs>(attrs);
  const Tensor x = wide(in[1]);
  return {where(logical_and(greater_equal(x, a.min), less_equal(x, a.max)), in[0], 0.0)};
}

}  // namespace

// clang-format off
#define RUTILE_ACTIVATION(constant, function, saved, zero, text)                                 \
  RUTILE_UNARY(constant, function, .infer = infer_floats, .grad = grad_##function,                \
               .saves = {saved}, .zero_preserving = zero, .doc = text)
#define RUTILE_ACTIVATION_OF(constant, function, Attrs, infer_fn, text)                          \
  constinit const OpDef constant = define(elementwise(                                           \
      {.name = #function, .inputs = {"x"}, .attrs = attrs_of<Attrs>(), .infer = infer_fn,        \
       .grad = grad_##function, .saves = {"x"}, .doc = text}));                                  \
  Tensor function(Arg x, Attrs attrs) { return call1(constant, &attrs, {x.tensor}, x.where); }
#define RUTILE_GRADIENT(constant, function, from, infer_fn, zero, text)                          \
  constinit const OpDef constant = define(elementwise(                                           \
      {.name = #function, .inputs = {"dy", from}, .outputs = {"dx"}, .infer = infer_fn,          \
       .compose = compose_##function, .zero_preserving = zero, .doc = text}));                   \
  Tensor function(Arg dy, Arg x) {                                                               \
    return call1(constant, nullptr, {dy.tensor, x.tensor}, dy.where);                            \
  }
#define RUTILE_GRADIENT_OF(constant, function, Attrs, text)                                      \
  constinit const OpDef constant = define(elementwise(                                           \
      {.name = #function, .inputs = {"dy", "x"}, .outputs = {"dx"}, .attrs = attrs_of<Attrs>(),  \
       .infer = infer_floats, .compose = compose_##function, .zero_preserving = true,             \
       .doc = text}));                                                                           \
  Tensor function(Arg dy, Arg x, Attrs attrs) {                                                  \
    return call1(constant, &attrs, {dy.tensor, x.tensor}, dy.where);                             \
  }
// clang-format on

RUTILE_UNARY(kRelu, relu, .infer = infer_number, .grad = grad_relu, .saves = {"y"},
             .zero_preserving = true, .doc = "max(x, 0); NaN stays NaN.")
RUTILE_UNARY(kRelu6, relu6, .infer = infer_number, .grad = grad_relu6, .saves = {"y"},
             .zero_preserving = true, .doc = "min(max(x, 0), 6).")
RUTILE_UNARY(kSigmoid, sigmoid, .infer = or_complex<infer_float>, .grad = holomorphic<grad_sigmoid>,
             .saves = {"y"}, .doc = "1 / (1 + exp(-x)).")
RUTILE_UNARY(kSilu, silu, .infer = or_complex<infer_floats>, .grad = holomorphic<grad_silu>,
             .saves = {"x"}, .compose = compose_silu, .zero_preserving = true,
             .doc = "x * sigmoid(x), also known as swish.")
RUTILE_ACTIVATION(kSoftplus, softplus, "x", false, "log(1 + exp(x)).")
RUTILE_ACTIVATION(kHsigmoid, hsigmoid, "x", false, "min(max(x + 3, 0), 6) / 6.")
RUTILE_ACTIVATION(kHswish, hswish, "x", true, "x * min(max(x + 3, 0), 6) / 6.")
RUTILE_ACTIVATION_OF(kGelu, gelu, GeluAttrs, infer_floats,
                     "x * Phi(x), Phi the normal cdf, or its tanh approximation.")
RUTILE_ACTIVATION_OF(kLeakyRelu, leaky_relu, LeakyReluAttrs, infer_floats, "x > 0 ? x : alpha * x.")
RUTILE_ACTIVATION_OF(kElu, elu, EluAttrs, infer_floats, "x > 0 ? x : alpha * (exp(x) - 1).")
RUTILE_ACTIVATION_OF(kClip, clip, ClipAttrs, infer_clip, "min(max(x, min), max).")

RUTILE_GRADIENT(kReluGrad, relu_grad, "y", infer_number, true, "y <= 0 ? 0 : dy.")
RUTILE_GRADIENT(kRelu6Grad, relu6_grad, "y", infer_number, true, "0 < y < 6 ? dy : 0.")
RUTILE_GRADIENT(kSigmoidGrad, sigmoid_grad, "y", infer_floats, true, "dy * y * (1 - y).")
RUTILE_GRADIENT(kTanhGrad, tanh_grad, "y", infer_floats, true, "dy * (1 - y * y).")
RUTILE_GRADIENT(kSiluGrad, silu_grad, "x", infer_floats, true, "Gradient of silu.")
RUTILE_GRADIENT(kHsigmoidGrad, hsigmoid_grad, "x", infer_floats, true, "Gradient of hsigmoid.")
RUTILE_GRADIENT(kHswishGrad, hswish_grad, "x", infer_floats, true, "Gradient of hswish.")
RUTILE_GRADIENT_OF(kGeluGrad, gelu_grad, GeluAttrs, "Gradient of gelu.")
RUTILE_GRADIENT_OF(kLeakyReluGrad, leaky_relu_grad, LeakyReluAttrs, "Gradient of leaky_relu.")
RUTILE_GRADIENT_OF(kEluGrad, elu_grad, EluAttrs, "Gradient of elu.")
RUTILE_GRADIENT_OF(kClipGrad, clip_grad, ClipAttrs, "min <= x <= max ? dy : 0.")

}  // namespace rutile::ops

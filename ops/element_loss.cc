// SPDX-License-Identifier: Apache-2.0
// Losses that are sums of functions of single elements.
#include <cmath>
#include <numbers>

#include "rutile/ops/control.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/loss_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;
using std::numbers::pi;

// Floats of one dtype; the second input, and the third of a loss of three, shaped as the first.
Status check_elements(const CallMeta& c, int same = 2) {
  RUTILE_RETURN_IF_ERROR(check_float("x", c.in(0)));
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  for (int i = 1; i < same; ++i) {
    const std::string name(c.op->input_name(i));
    RUTILE_RETURN_IF_ERROR(check_shape(name.c_str(), c.in(i), c.in(0).shape));
  }
  return Status();
}

template <class A, int kSame = 2>
Status infer_elements(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_elements(c, kSame));
  const TensorMeta& x = c.in(0);
  for (int i = kSame; i < c.num_inputs(); ++i) {
    RUTILE_RETURN_IF_ERROR(check_weight(c, i, x.shape));
  }
  *out = loss_meta(x.shape, x.dtype, x.device, c.as<A>().reduction);
  return Status();
}

// The gradient passes at 0 too, as PyTorch has it.
Tensor at_least_zero(const Tensor& x) { return clip(x, {.min = 0}); }

// ---- Distances ----------------------------------------------------------------------------------

TensorList compose_mse(const void* attrs, In in) {
  const auto& a = *static_cast<const LossAttrs*>(attrs);
  return {reduce_loss(square(wide(in[0]) - wide(in[1])), a.reduction)};
}

TensorList compose_l1(const void* attrs, In in) {
  const auto& a = *static_cast<const LossAttrs*>(attrs);
  return {reduce_loss(abs(wide(in[0]) - wide(in[1])), a.reduction)};
}

// Of complex numbers too: the distance is a real number.
Status infer_l1(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (!is_complex(x.dtype)) return infer_elements<LossAttrs>(c, out);
  RUTILE_RETURN_IF_ERROR(check_same_dtype(c));
  RUTILE_RETURN_IF_ERROR(check_shape("target", c.in(1), x.shape));
  *out = loss_meta(x.shape, real_dtype(x.dtype), x.device, c.as<LossAttrs>().reduction);
  return Status();
}

Status infer_smooth_l1(const CallMeta& c, TensorMeta* out) {
  const double beta = c.as<SmoothL1LossAttrs>().beta;
  if (!(beta >= 0)) return value_error(cat("beta expects a number of at least 0, got ", beta));
  return infer_elements<SmoothL1LossAttrs>(c, out);
}

// limit * |d| - limit^2 / 2 beyond the limit, d^2 / 2 up to it.
Tensor limited_square(const Tensor& d, double limit) {
  const Tensor inside = clip(d, {-limit, limit});
  return inside * (d - inside * 0.5);
}
// The gradient of the reduced sum of `scale` times that.
GradResult limited_gradient(GradCtx& ctx, Reduction reduction, double limit, double scale) {
  const TensorMeta& x = ctx.in_meta(0);
  if (reduction == Reduction::kMean) scale /= static_cast<double>(x.numel());
  const Tensor d = wide(ctx.in(0)) - wide(ctx.in(1));
  const Tensor g = clip(d, {-limit, limit}) * (ctx.grad() * scale);
  GradResult r{Tensor(), Tensor()};
  if (ctx.needs(0)) r[0] = cast(g, x.dtype);
  if (ctx.needs(1)) r[1] = cast(-g, ctx.in_meta(1).dtype);
  return r;
}

TensorList compose_smooth_l1(const void* attrs, In in) {
  const auto& a = *static_cast<const SmoothL1LossAttrs*>(attrs);
  const Tensor d = wide(in[0]) - wide(in[1]);
  if (a.beta == 0) return {reduce_loss(abs(d), a.reduction)};
  return {reduce_loss(limited_square(d, a.beta) * (1 / a.beta), a.reduction)};
}
GradResult grad_smooth_l1(GradCtx& ctx) {
  const auto& a = ctx.attrs<SmoothL1LossAttrs>();
  if (a.beta != 0) return limited_gradient(ctx, a.reduction, a.beta, 1 / a.beta);
  const Tensor d = wide(ctx.in(0)) - wide(ctx.in(1));
  const double scale = a.reduction == Reduction::kMean ? 1 / static_cast<double>(d.numel()) : 1;
  const Tensor g = sign(d) * (ctx.grad() * scale);
  return {cast(g, ctx.in_meta(0).dtype), cast(-g, ctx.in_meta(1).dtype)};
}

Status infer_huber(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_positive("delta", c.as<HuberLossAttrs>().delta));
  return infer_elements<HuberLossAttrs>(c, out);
}

TensorList compose_huber(const void* attrs, In in) {
  const auto& a = *static_cast<const HuberLossAttrs*>(attrs);
  return {reduce_loss(limited_square(wide(in[0]) - wide(in[1]), a.delta), a.reduction)};
}
GradResult grad_huber(GradCtx& ctx) {
  const auto& a = ctx.attrs<HuberLossAttrs>();
  return limited_gradient(ctx, a.reduction, a.delta, 1);
}

// ---- Probabilities ------------------------------------------------------------------------------

Tensor clamped_log(const Tensor& p) { return maximum(log(p), -100.0); }

TensorList compose_bce(const void* attrs, In in) {
  const auto& a = *static_cast<const LossAttrs*>(attrs);
  const Tensor x = wide(in[0]), t = wide(in[1]), weight = operand(in, 2);
  Tensor loss = -(t * clamped_log(x) + (1.0 - t) * clamped_log(1.0 - x));
  if (weight.defined()) loss = loss * weight;
  return {reduce_loss(loss, a.reduction)};
}

// With finite derivatives at 0 and 1, from the number that PyTorch has there.
constexpr double kSmallestSlope = 1e-12f;

GradResult grad_bce(GradCtx& ctx) {
  const Tensor x = wide(ctx.in(0)), t = wide(ctx.in(1));
  const Reduction reduction = ctx.attrs<LossAttrs>().reduction;
  Tensor g = ctx.grad();
  if (reduction == Reduction::kMean) g = g / static_cast<double>(x.numel());
  const Tensor weighted = ctx.has_in(2) ? g * ctx.in(2) : g;
  GradResult d;
  d.resize(ctx.num_inputs());
  if (ctx.needs(0)) {
    d[0] = cast(weighted * (x - t) / maximum((1.0 - x) * x, kSmallestSlope), ctx.in_meta(0).dtype);
  }
  if (ctx.needs(1)) d[1] = cast(weighted * (log(1.0 - x) - log(x)), ctx.in_meta(1).dtype);
  if (ctx.has_in(2) && ctx.needs(2)) {
    const Tensor loss = -(t * clamped_log(x) + (1.0 - t) * clamped_log(1.0 - x));
    d[2] = unbroadcast(loss * g, ctx.in_meta(2));
  }
  return d;
}

// -log(sigmoid(z)) = softplus(-z), -log(1 - sigmoid(z)) = z + softplus(-z)
Tensor logit_loss(const Tensor& z, const Tensor& t, const Tensor& pos_weight = {}) {
  const Tensor s = softplus(-z);
  if (!pos_weight.defined()) return (1.0 - t) * z + s;
  return (1.0 - t) * z + (1.0 + (pos_weight - 1.0) * t) * s;
}

TensorList compose_bce_with_logits(const void* attrs, In in) {
  const auto& a = *static_cast<const LossAttrs*>(attrs);
  const Tensor weight = operand(in, 2), pos_weight = operand(in, 3);
  Tensor loss = logit_loss(wide(in[0]), wide(in[1]), pos_weight);
  if (weight.defined()) loss = loss * weight;
  return {reduce_loss(loss, a.reduction)};
}

TensorList compose_sigmoid_focal(const void* attrs, In in) {
  const auto& a = *static_cast<const SigmoidFocalLossAttrs*>(attrs);
  const Tensor z = wide(in[0]), t = wide(in[1]), p = sigmoid(z);
  Tensor loss = logit_loss(z, t);
  const Tensor wrong = p + t - p * t * 2.0;  // 1 - q
  if (a.gamma == 2) {
    loss = loss * square(wrong);
  } else if (a.gamma != 0) {
    loss = loss * flat_power(wrong, a.gamma);
  }
  if (a.alpha >= 0) loss = loss * (t * (2 * a.alpha - 1) + (1 - a.alpha));
  return {reduce_loss(loss, a.reduction)};
}

Status infer_dice(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_elements(c));
  *out = TensorMeta({}, wide(c.in(0).dtype), c.in(0).device);
  return Status();
}

TensorList compose_dice(const void* attrs, In in) {
  const Tensor x = wide(in[0]), t = wide(in[1]);
  const double smooth = static_cast<const DiceLossAttrs*>(attrs)->smooth;
  return {1.0 - sum(x * t) * 2.0 / (sum(square(x)) + sum(square(t)) + smooth)};
}

// t log t, 0 for 0.
Tensor x_log_x(const Tensor& t) { return t * log(where(equal(t, 0.0), ones_like(t), t)); }

Status infer_kl(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_elements(c));
  const TensorMeta& x = c.in(0);
  const BatchReduction r = c.as<KlDivAttrs>().reduction;
  if (r == BatchReduction::kBatchMean && x.rank() == 0) {
    return value_error("x expects a first dimension for batchmean");
  }
  *out = loss_meta(x.shape, x.dtype, x.device,
                   r == BatchReduction::kNone ? Reduction::kNone : Reduction::kSum);
  return Status();
}

TensorList compose_kl(const void* attrs, In in) {
  const auto& a = *static_cast<const KlDivAttrs*>(attrs);
  const Tensor x = wide(in[0]), t = wide(in[1]);
  const Tensor loss = a.log_target ? exp(t) * (t - x) : x_log_x(t) - t * x;
  if (a.reduction == BatchReduction::kBatchMean) {
    return {sum(loss) / static_cast<double>(x.dim(0))};
  }
  return {reduce_loss(loss, static_cast<Reduction>(a.reduction))};
}

TensorList compose_poisson(const void* attrs, In in) {
  const auto& a = *static_cast<const PoissonNllLossAttrs*>(attrs);
  const Tensor x = wide(in[0]), t = wide(in[1]);
  Tensor loss = a.log_input ? exp(x) - t * x : x - t * log(x + a.eps);
  if (a.full) {
    const Tensor large = greater(t, 1.0), safe = where(large, t, ones_like(t));
    const Tensor stirling = safe * log(safe) - safe + log(safe * (2 * pi)) * 0.5;
    loss = loss + where(large, stirling, 0.0);
  }
  return {reduce_loss(loss, a.reduction)};
}

// One variance a row: var has the shape of x without its last dimension.
bool by_row(const Shape& var, const Shape& x) {
  if (x.rank() == 0 || var.rank() != x.rank() - 1) return false;
  Shape rows = x;
  rows.pop_back();
  return var == rows;
}

Status infer_gaussian(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<GaussianNllLossAttrs>();
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_positive("eps", a.eps));
  RUTILE_RETURN_IF_ERROR(check_elements(c, 1));
  RUTILE_RETURN_IF_ERROR(check_weight(c, 1, x.shape));
  if (!by_row(c.in(2).shape, x.shape)) RUTILE_RETURN_IF_ERROR(check_weight(c, 2, x.shape));
  *out = loss_meta(x.shape, x.dtype, x.device, a.reduction);
  return Status();
}

TensorList compose_gaussian(const void* attrs, In in) {
  const auto& a = *static_cast<const GaussianNllLossAttrs*>(attrs);
  const Tensor x = wide(in[0]), t = wide(in[1]);
  Tensor var = wide(in[2]);
  if (by_row(var.shape(), x.shape())) var = expand_dims(var, -1);
  const Tensor v = var + stop_gradient(maximum(var, a.eps) - var);
  Tensor loss = (log(v) + square(x - t) / v) * 0.5;
  if (a.full) loss = loss + 0.5 * std::log(2 * pi);
  return {reduce_loss(loss, a.reduction)};
}

// ---- Margins ------------------------------------------------------------------------------------

TensorList compose_soft_margin(const void* attrs, In in) {
  const auto& a = *static_cast<const LossAttrs*>(attrs);
  return {reduce_loss(softplus(-wide(in[1]) * wide(in[0])), a.reduction)};
}

// The two terms go by what t is not, as PyTorch's do: both count where it is neither 1 nor -1.
TensorList compose_hinge(const void* attrs, In in) {
  const auto& a = *static_cast<const HingeEmbeddingLossAttrs*>(attrs);
  const Tensor x = wide(in[0]), t = wide(in[1]);
  const Tensor loss = where(not_equal(t, 1.0), at_least_zero(a.margin - x), 0.0) +
                      where(not_equal(t, -1.0), x, 0.0);
  return {reduce_loss(loss, a.reduction)};
}

TensorList compose_ranking(const void* attrs, In in) {
  const auto& a = *static_cast<const MarginLossAttrs*>(attrs);
  const Tensor d = wide(in[0]) - wide(in[1]);
  return {reduce_loss(at_least_zero(a.margin - wide(in[2]) * d), a.reduction)};
}

// The fields that all have.
consteval OpSpec element_loss(OpSpec s) {
  s.outputs[0] = "loss";
  s.promote = true;
  s.amp = Amp::kHigh;
  return s;
}

}  // namespace

constinit const OpDef kMseLoss = define(element_loss({
    .name = "mse_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<LossAttrs>(),
    .infer = infer_elements<LossAttrs>,
    .flops = flops_per_input<3>,
    .compose = compose_mse,
    .doc = "Square of the difference.",
}));

constinit const OpDef kL1Loss = define(element_loss({
    .name = "l1_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<LossAttrs>(),
    .infer = infer_l1,
    .flops = flops_per_input<3>,
    .compose = compose_l1,
    .doc = "Absolute difference, of complex numbers the distance.",
}));

constinit const OpDef kSmoothL1Loss = define(element_loss({
    .name = "smooth_l1_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<SmoothL1LossAttrs>(),
    .infer = infer_smooth_l1,
    .flops = flops_per_input<6>,
    .grad = grad_smooth_l1,
    .saves = {"x", "target"},
    .compose = compose_smooth_l1,
    .doc = "Half the square over beta below beta, the distance minus beta / 2 above.",
}));

constinit const OpDef kHuberLoss = define(element_loss({
    .name = "huber_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<HuberLossAttrs>(),
    .infer = infer_huber,
    .flops = flops_per_input<6>,
    .grad = grad_huber,
    .saves = {"x", "target"},
    .compose = compose_huber,
    .doc = "Half the square up to delta, delta times the distance minus delta / 2 above.",
}));

constinit const OpDef kBinaryCrossEntropy = define(element_loss({
    .name = "binary_cross_entropy",
    .inputs = {"x", "target", "weight?"},
    .attrs = attrs_of<LossAttrs>(),
    .infer = infer_elements<LossAttrs>,
    .flops = flops_per_input<8>,
    .grad = grad_bce,
    .saves = {"x", "target", "weight"},
    .compose = compose_bce,
    .doc = "Cross entropy of probabilities of two classes; logarithms are at least -100.",
}));

constinit const OpDef kBinaryCrossEntropyWithLogits = define(element_loss({
    .name = "binary_cross_entropy_with_logits",
    .inputs = {"x", "target", "weight?", "pos_weight?"},
    .attrs = attrs_of<LossAttrs>(),
    .infer = infer_elements<LossAttrs>,
    .flops = flops_per_input<6>,
    .compose = compose_bce_with_logits,
    .doc = "binary_cross_entropy of sigmoid(x), without its rounding.",
}));

constinit const OpDef kSigmoidFocalLoss = define(element_loss({
    .name = "sigmoid_focal_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<SigmoidFocalLossAttrs>(),
    .infer = infer_elements<SigmoidFocalLossAttrs>,
    .flops = flops_per_input<14>,
    .compose = compose_sigmoid_focal,
    .doc = "Cross entropy of two classes that counts less what is predicted well already.",
}));

constinit const OpDef kDiceLoss = define(element_loss({
    .name = "dice_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<DiceLossAttrs>(),
    .infer = infer_dice,
    .flops = flops_per_input<6>,
    .compose = compose_dice,
    .doc = "1 minus twice the overlap over the sum of squares.",
}));

constinit const OpDef kKlDiv = define(element_loss({
    .name = "kl_div",
    .inputs = {"x", "target"},
    .attrs = attrs_of<KlDivAttrs>(),
    .infer = infer_kl,
    .flops = flops_per_input<5>,
    .compose = compose_kl,
    .doc = "Kullback-Leibler divergence of a target from log-probabilities.",
}));

constinit const OpDef kPoissonNllLoss = define(element_loss({
    .name = "poisson_nll_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<PoissonNllLossAttrs>(),
    .infer = infer_elements<PoissonNllLossAttrs>,
    .flops = flops_per_input<4>,
    .compose = compose_poisson,
    .doc = "Minus the log-likelihood of counts under Poisson's distribution.",
}));

constinit const OpDef kGaussianNllLoss = define(element_loss({
    .name = "gaussian_nll_loss",
    .inputs = {"x", "target", "var"},
    .attrs = attrs_of<GaussianNllLossAttrs>(),
    .infer = infer_gaussian,
    .flops = flops_per_input<7>,
    .compose = compose_gaussian,
    .doc = "Minus the log-likelihood under normal distributions of mean x and variance var.",
}));

constinit const OpDef kSoftMarginLoss = define(element_loss({
    .name = "soft_margin_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<LossAttrs>(),
    .infer = infer_elements<LossAttrs>,
    .flops = flops_per_input<5>,
    .compose = compose_soft_margin,
    .doc = "log(1 + exp(-target x)) for targets 1 and -1.",
}));

constinit const OpDef kHingeEmbeddingLoss = define(element_loss({
    .name = "hinge_embedding_loss",
    .inputs = {"x", "target"},
    .attrs = attrs_of<HingeEmbeddingLossAttrs>(),
    .infer = infer_elements<HingeEmbeddingLossAttrs>,
    .flops = flops_per_input<5>,
    .compose = compose_hinge,
    .doc = "A distance x where the target is 1, what it lacks to a margin where it is -1.",
}));

constinit const OpDef kMarginRankingLoss = define(element_loss({
    .name = "margin_ranking_loss",
    .inputs = {"x1", "x2", "target"},
    .attrs = attrs_of<MarginLossAttrs>(),
    .infer = infer_elements<MarginLossAttrs, 3>,
    .flops = flops_per_input<5>,
    .compose = compose_ranking,
    .doc = "What lacks to a margin between x1 and x2 in the order that the target (1, -1) wants.",
}));

// ---- Functions ----------------------------------------------------------------------------------

Tensor mse_loss(Arg x, Arg target, Reduction reduction) {
  const LossAttrs a{reduction};
  return call1(kMseLoss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor l1_loss(Arg x, Arg target, Reduction reduction) {
  const LossAttrs a{reduction};
  return call1(kL1Loss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor smooth_l1_loss(Arg x, Arg target, double beta, Reduction reduction) {
  const SmoothL1LossAttrs a{beta, reduction};
  return call1(kSmoothL1Loss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor huber_loss(Arg x, Arg target, double delta, Reduction reduction) {
  const HuberLossAttrs a{delta, reduction};
  return call1(kHuberLoss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor binary_cross_entropy(Arg p, Arg target, Reduction reduction, const Tensor& weight) {
  const LossAttrs a{reduction};
  return call1(kBinaryCrossEntropy, &a, {p.tensor, target.tensor, weight}, p.where);
}

Tensor binary_cross_entropy_with_logits(Arg x, Arg target, Reduction reduction,
                                        const Tensor& weight, const Tensor& pos_weight) {
  const LossAttrs a{reduction};
  return call1(kBinaryCrossEntropyWithLogits, &a, {x.tensor, target.tensor, weight, pos_weight},
               x.where);
}

Tensor sigmoid_focal_loss(Arg x, Arg target, SigmoidFocalLossAttrs a) {
  return call1(kSigmoidFocalLoss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor dice_loss(Arg x, Arg target, double smooth) {
  const DiceLossAttrs a{smooth};
  return call1(kDiceLoss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor kl_div(Arg x, Arg target, KlDivAttrs a) {
  return call1(kKlDiv, &a, {x.tensor, target.tensor}, x.where);
}

Tensor poisson_nll_loss(Arg x, Arg target, PoissonNllLossAttrs a) {
  return call1(kPoissonNllLoss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor gaussian_nll_loss(Arg x, Arg target, Arg var, GaussianNllLossAttrs a) {
  return call1(kGaussianNllLoss, &a, {x.tensor, target.tensor, var.tensor}, x.where);
}

Tensor soft_margin_loss(Arg x, Arg target, Reduction reduction) {
  const LossAttrs a{reduction};
  return call1(kSoftMarginLoss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor hinge_embedding_loss(Arg x, Arg target, double margin, Reduction reduction) {
  const HingeEmbeddingLossAttrs a{margin, reduction};
  return call1(kHingeEmbeddingLoss, &a, {x.tensor, target.tensor}, x.where);
}

Tensor margin_ranking_loss(Arg x1, Arg x2, Arg target, double margin, Reduction reduction) {
  const MarginLossAttrs a{margin, reduction};
  return call1(kMarginRankingLoss, &a, {x1.tensor, x2.tensor, target.tensor}, x1.where);
}

}  // namespace rutile::ops

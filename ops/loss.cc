// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/loss.h"

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loss_util.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {

Status check_weight(const CallMeta& c, int i, const Shape& shape) {
  if (!c.has(i)) return Status();
  const TensorMeta& w = c.in(i);
  const std::string name(c.op->input_name(i));
  RUTILE_RETURN_IF_ERROR(check_float(name.c_str(), w));
  Shape all;
  if (broadcast_shapes(w.shape, shape, &all).ok() && all == shape) return Status();
  return value_error(cat(name, " expects a shape that broadcasts to ", shape, ", got ", w.shape));
}

Shape without_classes(const Shape& logits) {
  Shape s;
  for (int i = 0; i < logits.rank(); ++i) {
    if (i != class_axis(logits.rank())) s.push_back(logits[i]);
  }
  return s;
}

Tensor along_classes(const Tensor& weight, int rank) {
  Shape s = Dims::filled(rank, 1);
  s[class_axis(rank)] = weight.dim(0);
  return reshape(weight, s);
}

// ---- cross_entropy ------------------------------------------------------------------------------

namespace {

Status check_cross_entropy(const CallMeta& c, const TensorMeta& logits, const TensorMeta& labels,
                           int weight_at) {
  const auto& a = c.as<CrossEntropyAttrs>();
  if (logits.rank() < 1) return value_error("logits expects at least rank 1");
  if (!is_floating(logits.dtype)) {
    return type_error(cat("logits expects a floating dtype, got ", logits.dtype));
  }
  if (labels.dtype != DType::kI32 && labels.dtype != DType::kI64) {
    return type_error(cat("labels expects i32 or i64, got ", labels.dtype));
  }
  const Shape wanted = without_classes(logits.shape);
  if (!(labels.shape == wanted)) {
    return value_error(cat("labels expects shape ", wanted, ", got ", labels.shape));
  }
  const int64_t classes = logits.dim(class_axis(logits.rank()));
  if (classes < 1) return value_error("logits has no classes");
  if (!(a.label_smoothing >= 0 && a.label_smoothing <= 1)) {
    return value_error(cat("label_smoothing expects 0 to 1, got ", a.label_smoothing));
  }
  if (!c.has(weight_at)) return Status();
  const TensorMeta& w = c.in(weight_at);
  if (!(w.shape == Shape{classes})) {
    return value_error(cat("weight expects shape [", classes, "], got ", w.shape));
  }
  if (w.dtype != wide(logits.dtype)) {
    return type_error(cat("weight expects ", wide(logits.dtype), ", got ", w.dtype));
  }
  return Status();
}

Status infer_cross_entropy(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &logits = c.in(0), &labels = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_cross_entropy(c, logits, labels, 2));
  const DType dtype = wide(logits.dtype);
  const bool each = c.as<CrossEntropyAttrs>().reduction == Reduction::kNone;
  out[0] = TensorMeta(each ? labels.shape : Shape(), dtype, logits.device);
  out[1] = TensorMeta(labels.shape, dtype, logits.device);
  return Status();
}

Status infer_cross_entropy_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &g = c.in(0), &logits = c.in(1), &labels = c.in(2), &lse = c.in(3);
  RUTILE_RETURN_IF_ERROR(check_cross_entropy(c, logits, labels, 4));
  const bool each = c.as<CrossEntropyAttrs>().reduction == Reduction::kNone;
  const Shape wanted = each ? labels.shape : Shape();
  const DType dtype = wide(logits.dtype);
  if (!(g.shape == wanted) || g.dtype != dtype) {
    return value_error(cat("grad expects ", dtype, wanted, ", got ", g));
  }
  if (!(lse.shape == labels.shape) || lse.dtype != dtype) {
    return value_error(cat("lse expects ", dtype, labels.shape, ", got ", lse));
  }
  return place(logits.shape, logits.dtype, logits.device,
               {kStrided, logits.layout == kStrided && logits.is_channels_last()}, out);
}

GradResult grad_cross_entropy(GradCtx& ctx) {
  const Tensor &logits = ctx.in(0), &labels = ctx.in(1), &lse = ctx.out(1);
  const Tensor weight = ctx.has_in(2) ? ctx.in(2) : Tensor();
  Tensor d;
  if (ctx.grad(0).defined()) {
    d = call1(kCrossEntropyGrad, ctx.raw_attrs(), {ctx.grad(0), logits, labels, lse, weight});
  }
  if (ctx.grad(1).defined()) {
    const int axis = class_axis(logits.rank());
    const Tensor p = exp(wide(logits) - expand_dims(lse, axis));
    const Tensor more = cast(p * expand_dims(ctx.grad(1), axis), logits.dtype());
    d = d.defined() ? d + more : more;
  }
  return {d, Tensor(), Tensor()};
}

// What both definitions below are made of.
struct Terms {
  Tensor x;       // logits, wide
  Tensor target;  // [n,c,..]: weight that each class's -log p has; zero for ignored labels
  Tensor total;   // [n,1,..]: its sum over the classes
  Tensor norm;    // 0-d: what the mean divides by
};

Terms terms_of(const CrossEntropyAttrs& a, const Tensor& logits, const Tensor& labels,
               const Tensor& weight) {
  const int rank = logits.rank(), axis = class_axis(rank);
  const int64_t classes = logits.dim(axis);
  const DType dtype = wide(logits.dtype());
  const Tensor valid = not_equal(labels, Scalar(a.ignore_index));
  const Tensor safe = where(valid, labels, zeros_like(labels));
  Dims perm;
  for (int i = 0; i < rank; ++i) perm.push_back(i < axis ? i : i == axis ? rank - 1 : i - 1);
  const Tensor hot = transpose(one_hot(safe, classes, dtype), perm);
  Tensor target = hot * (1 - a.label_smoothing) + a.label_smoothing / static_cast<double>(classes);
  Tensor used = cast(expand_dims(valid, axis), dtype);
  Tensor counted = hot * used;
  if (weight.defined()) {
    const Tensor w = along_classes(weight, rank);
    target = target * w;
    counted = counted * w;
  }
  target = target * used;
  return {wide(logits), target, sum(target, {.axes = {axis}, .keepdims = true}), sum(counted)};
}

TensorList compose_cross_entropy(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const CrossEntropyAttrs*>(attrs);
  const int axis = class_axis(in[0].rank());
  const Terms t = terms_of(a, in[0], in[1], in.size() > 2 ? in[2] : Tensor());
  const Tensor y = log_softmax(t.x, axis);
  const Tensor loss = -sum(t.target * y, {.axes = {axis}});
  // x - log_softmax(x) is the same in each class up to rounding; the largest x rounds least.
  const Tensor lse = max(t.x, {.axes = {axis}}) - max(y, {.axes = {axis}});
  if (a.reduction == Reduction::kNone) return {loss, lse};
  return {a.reduction == Reduction::kMean ? sum(loss) / t.norm : sum(loss), lse};
}

TensorList compose_cross_entropy_grad(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const CrossEntropyAttrs*>(attrs);
  const Tensor &logits = in[1], &lse = in[3];
  const int axis = class_axis(logits.rank());
  const Terms t = terms_of(a, logits, in[2], in.size() > 4 ? in[4] : Tensor());
  Tensor g = in[0];
  if (a.reduction == Reduction::kMean) g = g / t.norm;
  if (a.reduction == Reduction::kNone) g = expand_dims(g, axis);
  const Tensor p = exp(t.x - expand_dims(lse, axis));
  return {cast(g * (p * t.total - t.target), logits.dtype())};
}

}  // namespace

constinit const OpDef kCrossEntropy = define({
    .name = "cross_entropy",
    .inputs = {"logits", "labels", "weight?"},
    .outputs = {"loss", "lse"},
    .attrs = attrs_of<CrossEntropyAttrs>(),
    .infer = infer_cross_entropy,
    .flops = flops_per_input<5>,
    .grad = grad_cross_entropy,
    .saves = {"logits", "labels", "weight", "lse"},
    .compose = compose_cross_entropy,
    .checks_values = true,
    .doc = "Cross entropy of softmax(logits) with class labels; also gives log(sum(exp(logits))).",
});

constinit const OpDef kCrossEntropyGrad = define({
    .name = "cross_entropy_grad",
    .inputs = {"grad", "logits", "labels", "lse", "weight?"},
    .outputs = {"dlogits"},
    .attrs = attrs_of<CrossEntropyAttrs>(),
    .infer = infer_cross_entropy_grad,
    .flops = flops_per_input<4, 1>,
    .saves = {"grad", "logits", "labels", "lse", "weight"},
    .compose = compose_cross_entropy_grad,
    .checks_values = true,
    .doc = "Gradient of cross_entropy with respect to the logits.",
});

namespace {

Tensor soft_cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyAttrs& a,
                          const Tensor& weight) {
  const int axis = class_axis(logits.rank());
  const double e = a.label_smoothing;
  Tensor t = wide(target);
  if (e != 0) t = t * (1 - e) + e / static_cast<double>(logits.dim(axis));
  if (weight.defined()) t = t * along_classes(weight, logits.rank());
  const Tensor loss = -sum(t * log_softmax(wide(logits), axis), {.axes = {axis}});
  return reduce_loss(loss, a.reduction);
}

}  // namespace

Tensor cross_entropy(Arg logits, Arg labels, CrossEntropyAttrs a, const Tensor& weight) {
  if (is_floating(labels.tensor.dtype()) && logits.tensor.rank() > 0) {
    if (!(labels.tensor.shape() == logits.tensor.shape())) {
      throw_error(ErrorCode::kValue,
                  cat("[cross_entropy] floating targets are probabilities and need the shape of "
                      "the logits | logits ",
                      logits.tensor.meta(), ", labels ", labels.tensor.meta()));
    }
    return soft_cross_entropy(logits.tensor, labels.tensor, a, weight);
  }
  const Tensor in[] = {logits.tensor, labels.tensor, weight};
  return call_n(kCrossEntropy, &a, {in, weight.defined() ? 3u : 2u}, logits.where)[0];
}

// ---- nll_loss -----------------------------------------------------------------------------------

namespace {

Status infer_nll(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<NllLossAttrs>();
  const TensorMeta &x = c.in(0), &labels = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_float("log_p", x));
  RUTILE_RETURN_IF_ERROR(check_labels("labels", labels));
  if (x.rank() < 1) return value_error("log_p expects at least rank 1");
  RUTILE_RETURN_IF_ERROR(check_shape("labels", labels, without_classes(x.shape)));
  const int64_t classes = x.dim(class_axis(x.rank()));
  if (classes < 1) return value_error("log_p has no classes");
  if (c.has(2)) {
    RUTILE_RETURN_IF_ERROR(check_float("weight", c.in(2)));
    RUTILE_RETURN_IF_ERROR(check_shape("weight", c.in(2), {classes}));
  }
  *out = loss_meta(labels.shape, x.dtype, x.device, a.reduction);
  return Status();
}

TensorList compose_nll(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const NllLossAttrs*>(attrs);
  const Tensor &x = in[0], &y = in[1], weight = operand(in, 2);
  const int axis = class_axis(x.rank());
  const Tensor valid = not_equal(y, Scalar(a.ignore_index));
  const Tensor safe = where(valid, y, zeros_like(y));
  const TakeAlongAttrs strict{axis, false};
  const Tensor picked =
      squeeze(call1(kTakeAlongAxis, &strict, {x, expand_dims(safe, axis)}), {axis});
  Tensor used = cast(valid, wide(x.dtype()));
  if (weight.defined()) used = used * gather(cast(weight, used.dtype()), safe);
  const Tensor loss = where(valid, -wide(picked) * used, zeros_like(used));
  if (a.reduction == Reduction::kMean) return {sum(loss) / sum(used)};
  return {reduce_loss(loss, a.reduction)};
}

}  // namespace

constinit const OpDef kNllLoss = define({
    .name = "nll_loss",
    .inputs = {"log_p", "labels", "weight?"},
    .outputs = {"loss"},
    .attrs = attrs_of<NllLossAttrs>(),
    .infer = infer_nll,
    .flops = flops_per_input<2, 1>,
    .compose = compose_nll,
    .amp = Amp::kHigh,
    .checks_values = true,
    .doc = "Minus the log-probability of the class that each label names.",
});

Tensor nll_loss(Arg log_p, Arg labels, NllLossAttrs a, const Tensor& weight) {
  return call1(kNllLoss, &a, {log_p.tensor, labels.tensor, weight}, log_p.where);
}

}  // namespace rutile::ops

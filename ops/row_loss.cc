// SPDX-License-Identifier: Apache-2.0
// Losses of rows: margins between classes, distances of vectors, the focal loss of classes.
#include <cmath>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/elementwise_infer.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/loss_util.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

// x is [n,c] or [c] with c > 0; `rows` is its shape without the last dimension.
Status check_rows(const TensorMeta& x, Shape* rows) {
  RUTILE_RETURN_IF_ERROR(check_float("x", x));
  if ((x.rank() != 1 && x.rank() != 2) || x.dim(x.rank() - 1) < 1) {
    return value_error(cat("x expects shape [n,c] or [c] with c > 0, got ", x.shape));
  }
  *rows = x.shape;
  rows->pop_back();
  return Status();
}

// ---- Margins between classes --------------------------------------------------------------------

Status infer_multi_margin(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<MultiMarginLossAttrs>();
  const TensorMeta& x = c.in(0);
  Shape rows;
  RUTILE_RETURN_IF_ERROR(check_rows(x, &rows));
  RUTILE_RETURN_IF_ERROR(check_labels("labels", c.in(1)));
  RUTILE_RETURN_IF_ERROR(check_shape("labels", c.in(1), rows));
  if (a.p != 1 && a.p != 2) return value_error(cat("p expects 1 or 2, got ", a.p));
  if (c.has(2)) {
    RUTILE_RETURN_IF_ERROR(check_float("weight", c.in(2)));
    RUTILE_RETURN_IF_ERROR(check_shape("weight", c.in(2), {x.dim(x.rank() - 1)}));
  }
  *out = loss_meta(rows, x.dtype, x.device, a.reduction);
  return Status();
}

TensorList compose_multi_margin(const void* attrs, In in) {
  const auto& a = *static_cast<const MultiMarginLossAttrs*>(attrs);
  const Tensor x = wide(in[0]), labels = in[1], weight = operand(in, 2);
  const int64_t classes = x.dim(x.rank() - 1);
  const TakeAlongAttrs strict{-1, false};
  const Tensor at = expand_dims(labels, -1);
  const Tensor own = call1(kTakeAlongAxis, &strict, {x, at});
  Tensor h = relu(x - own + a.margin);
  if (a.p == 2) h = square(h);
  h = where(one_hot(labels, classes, DType::kBool), 0.0, h);
  Tensor loss = sum(h, {.axes = {-1}}) / static_cast<double>(classes);
  if (weight.defined()) loss = loss * gather(cast(weight, x.dtype()), labels);
  return {reduce_loss(loss, a.reduction)};
}

Status infer_multilabel_margin(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  Shape rows;
  RUTILE_RETURN_IF_ERROR(check_rows(x, &rows));
  RUTILE_RETURN_IF_ERROR(check_labels("labels", c.in(1)));
  RUTILE_RETURN_IF_ERROR(check_shape("labels", c.in(1), x.shape));
  *out = loss_meta(rows, x.dtype, x.device, c.as<LossAttrs>().reduction);
  return Status();
}

TensorList compose_multilabel_margin(const void* attrs, In in) {
  const auto& a = *static_cast<const LossAttrs*>(attrs);
  const Tensor x = wide(in[0]), labels = in[1];
  const int64_t classes = x.dim(x.rank() - 1);
  const DType t = x.dtype();
  const Tensor ended = cumsum(cast(less(labels, 0), DType::kI64), {.axis = -1});
  const Tensor listed = equal(ended, 0);
  const Tensor safe = where(listed, labels, zeros_like(labels));
  const TakeAlongAttrs strict{-1, false};
  const Tensor own = call1(kTakeAlongAxis, &strict, {x, safe});
  const Tensor counted = cast(listed, t);
  // [..., c]: 1 for the classes that no label names
  const Tensor named = max(one_hot(safe, classes, t) * expand_dims(counted, -1), {.axes = {-2}});
  const Tensor h = relu(1.0 - expand_dims(own, -1) + expand_dims(x, -2));
  const Tensor pairs = h * expand_dims(counted, -1) * expand_dims(1.0 - named, -2);
  return {reduce_loss(sum(pairs, {.axes = {-2, -1}}) / static_cast<double>(classes), a.reduction)};
}

Status infer_multilabel_soft_margin(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_float("x", x));
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  if (x.rank() < 1) return value_error("x expects at least rank 1");
  RUTILE_RETURN_IF_ERROR(check_shape("target", c.in(1), x.shape));
  RUTILE_RETURN_IF_ERROR(check_weight(c, 2, x.shape));
  Shape rows = x.shape;
  rows.pop_back();
  *out = loss_meta(rows, x.dtype, x.device, c.as<LossAttrs>().reduction);
  return Status();
}

TensorList compose_multilabel_soft_margin(const void* attrs, In in) {
  const auto& a = *static_cast<const LossAttrs*>(attrs);
  const Tensor z = wide(in[0]), t = wide(in[1]), weight = operand(in, 2);
  Tensor loss = (1.0 - t) * z + softplus(-z);
  if (weight.defined()) loss = loss * weight;
  return {reduce_loss(mean(loss, {.axes = {-1}}), a.reduction)};
}

// ---- Distances of vectors -----------------------------------------------------------------------

Status infer_cosine(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  Shape rows;
  RUTILE_RETURN_IF_ERROR(check_rows(x, &rows));
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  RUTILE_RETURN_IF_ERROR(check_shape("x2", c.in(1), x.shape));
  RUTILE_RETURN_IF_ERROR(check_shape("target", c.in(2), rows));
  *out = loss_meta(rows, x.dtype, x.device, c.as<MarginLossAttrs>().reduction);
  return Status();
}

TensorList compose_cosine(const void* attrs, In in) {
  const auto& a = *static_cast<const MarginLossAttrs*>(attrs);
  const Tensor x1 = wide(in[0]), x2 = wide(in[1]), t = wide(in[2]);
  auto over_row = [](const Tensor& v) { return sum(v, {.axes = {-1}}); };
  const Tensor cosine =
      over_row(x1 * x2) / sqrt((over_row(square(x1)) + 1e-12) * (over_row(square(x2)) + 1e-12));
  const Tensor loss = where(equal(t, 1.0), 1.0 - cosine, 0.0) +
                      where(equal(t, -1.0), clip(cosine - a.margin, {.min = 0}), 0.0);
  return {reduce_loss(loss, a.reduction)};
}

Status infer_triplet(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<TripletMarginLossAttrs>();
  const TensorMeta& x = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_float("anchor", x));
  RUTILE_RETURN_IF_ERROR(check_dtypes(c));
  if (x.rank() < 1 || x.dim(x.rank() - 1) < 1) {
    return value_error(cat("anchor expects a last dimension of at least 1, got ", x.shape));
  }
  RUTILE_RETURN_IF_ERROR(check_shape("positive", c.in(1), x.shape));
  RUTILE_RETURN_IF_ERROR(check_shape("negative", c.in(2), x.shape));
  RUTILE_RETURN_IF_ERROR(check_positive("p", a.p));
  Shape rows = x.shape;
  rows.pop_back();
  *out = loss_meta(rows, x.dtype, x.device, a.reduction);
  return Status();
}

Tensor distance(const Tensor& x, const Tensor& y, const TripletMarginLossAttrs& a) {
  const Tensor d = x - y + a.eps;
  const Dims last{-1};
  if (a.p == 2) return norm(d, {.axes = last});
  const Tensor size = abs(d);
  if (a.p == 1) return sum(size, {.axes = last});
  if (std::isinf(a.p)) return max(size, {.axes = last});
  return pow(sum(pow(size, a.p), {.axes = last}), 1 / a.p);
}

TensorList compose_triplet(const void* attrs, In in) {
  const auto& a = *static_cast<const TripletMarginLossAttrs*>(attrs);
  const Tensor anchor = wide(in[0]), positive = wide(in[1]), negative = wide(in[2]);
  Tensor far = distance(anchor, negative, a);
  if (a.swap) far = minimum(far, distance(positive, negative, a));
  const Tensor loss = clip(distance(anchor, positive, a) - far + a.margin, {.min = 0});
  return {reduce_loss(loss, a.reduction)};
}

// ---- focal_loss ---------------------------------------------------------------------------------

Status infer_focal(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &labels = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_float("logits", x));
  RUTILE_RETURN_IF_ERROR(check_labels("labels", labels));
  if (x.rank() < 1) return value_error("logits expects at least rank 1");
  RUTILE_RETURN_IF_ERROR(check_shape("labels", labels, without_classes(x.shape)));
  const int64_t classes = x.dim(class_axis(x.rank()));
  if (classes < 1) return value_error("logits has no classes");
  if (c.has(2)) {
    RUTILE_RETURN_IF_ERROR(check_float("weight", c.in(2)));
    RUTILE_RETURN_IF_ERROR(check_shape("weight", c.in(2), {classes}));
  }
  *out = loss_meta(labels.shape, x.dtype, x.device, c.as<FocalLossAttrs>().reduction);
  return Status();
}

TensorList compose_focal(const void* attrs, In in) {
  const auto& a = *static_cast<const FocalLossAttrs*>(attrs);
  const Tensor labels = in[1], weight = operand(in, 2);
  const int axis = class_axis(in[0].rank());
  const Tensor log_p = log_softmax(wide(in[0]), axis);
  const TakeAlongAttrs strict{axis, false};
  const Tensor own =
      squeeze(call1(kTakeAlongAxis, &strict, {log_p, expand_dims(labels, axis)}), {axis});
  Tensor loss = -own;
  const Tensor wrong = -expm1(own);
  if (a.gamma == 2) {
    loss = loss * square(wrong);
  } else if (a.gamma != 0) {
    loss = loss * flat_power(wrong, a.gamma);
  }
  if (weight.defined()) loss = loss * gather(cast(weight, loss.dtype()), labels);
  return {reduce_loss(loss, a.reduction)};
}

}  // namespace

constinit const OpDef kMultiMarginLoss = define({
    .name = "multi_margin_loss",
    .inputs = {"x", "labels", "weight?"},
    .outputs = {"loss"},
    .attrs = attrs_of<MultiMarginLossAttrs>(),
    .infer = infer_multi_margin,
    .flops = flops_per_input<5>,
    .compose = compose_multi_margin,
    .amp = Amp::kHigh,
    .checks_values = true,
    .doc = "What the labelled class lacks to a margin over each other one.",
});

constinit const OpDef kMultilabelMarginLoss = define({
    .name = "multilabel_margin_loss",
    .inputs = {"x", "labels"},
    .outputs = {"loss"},
    .attrs = attrs_of<LossAttrs>(),
    .infer = infer_multilabel_margin,
    .flops = flops_per_input<8>,
    .compose = compose_multilabel_margin,
    .amp = Amp::kHigh,
    .checks_values = true,
    .doc = "What each labelled class lacks to a margin over each one that is not.",
});

constinit const OpDef kMultilabelSoftMarginLoss = define({
    .name = "multilabel_soft_margin_loss",
    .inputs = {"x", "target", "weight?"},
    .outputs = {"loss"},
    .attrs = attrs_of<LossAttrs>(),
    .infer = infer_multilabel_soft_margin,
    .flops = flops_per_input<6>,
    .compose = compose_multilabel_soft_margin,
    .amp = Amp::kHigh,
    .promote = true,
    .doc = "Mean over the classes of binary_cross_entropy_with_logits.",
});

constinit const OpDef kCosineEmbeddingLoss = define({
    .name = "cosine_embedding_loss",
    .inputs = {"x1", "x2", "target"},
    .outputs = {"loss"},
    .attrs = attrs_of<MarginLossAttrs>(),
    .infer = infer_cosine,
    .flops = flops_per_input<6>,
    .compose = compose_cosine,
    .amp = Amp::kHigh,
    .promote = true,
    .doc = "1 minus the cosine where the target is 1, the cosine above a margin where it is -1.",
});

constinit const OpDef kTripletMarginLoss = define({
    .name = "triplet_margin_loss",
    .inputs = {"anchor", "positive", "negative"},
    .outputs = {"loss"},
    .attrs = attrs_of<TripletMarginLossAttrs>(),
    .infer = infer_triplet,
    .flops = flops_per_input<8>,
    .compose = compose_triplet,
    .amp = Amp::kHigh,
    .promote = true,
    .doc = "What lacks to a margin between the distances to a positive and a negative example.",
});

constinit const OpDef kFocalLoss = define({
    .name = "focal_loss",
    .inputs = {"logits", "labels", "weight?"},
    .outputs = {"loss"},
    .attrs = attrs_of<FocalLossAttrs>(),
    .infer = infer_focal,
    .flops = flops_per_input<6>,
    .compose = compose_focal,
    .amp = Amp::kHigh,
    .checks_values = true,
    .doc = "Cross entropy with labels that counts less what is predicted well already.",
});

Tensor multi_margin_loss(Arg x, Arg labels, MultiMarginLossAttrs a, const Tensor& weight) {
  return call1(kMultiMarginLoss, &a, {x.tensor, labels.tensor, weight}, x.where);
}

Tensor multilabel_margin_loss(Arg x, Arg labels, Reduction reduction) {
  const LossAttrs a{reduction};
  return call1(kMultilabelMarginLoss, &a, {x.tensor, labels.tensor}, x.where);
}

Tensor multilabel_soft_margin_loss(Arg x, Arg target, Reduction reduction, const Tensor& weight) {
  const LossAttrs a{reduction};
  return call1(kMultilabelSoftMarginLoss, &a, {x.tensor, target.tensor, weight}, x.where);
}

Tensor cosine_embedding_loss(Arg x1, Arg x2, Arg target, double margin, Reduction reduction) {
  const MarginLossAttrs a{margin, reduction};
  return call1(kCosineEmbeddingLoss, &a, {x1.tensor, x2.tensor, target.tensor}, x1.where);
}

Tensor triplet_margin_loss(Arg anchor, Arg positive, Arg negative, TripletMarginLossAttrs a) {
  return call1(kTripletMarginLoss, &a, {anchor.tensor, positive.tensor, negative.tensor},
               anchor.where);
}

Tensor focal_loss(Arg logits, Arg labels, FocalLossAttrs a, const Tensor& weight) {
  return call1(kFocalLoss, &a, {logits.tensor, labels.tensor, weight}, logits.where);
}

}  // namespace rutile::ops

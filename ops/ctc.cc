// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/ctc.h"

#include <limits>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/loss_util.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

// Checks inputs `first` .. first + 3; the losses' shape.
Status check_ctc(const CallMeta& c, int first, int64_t blank, Shape* shape) {
  const TensorMeta &x = c.in(first), &targets = c.in(first + 1);
  RUTILE_RETURN_IF_ERROR(check_float("log_probs", x));
  if (x.rank() != 2 && x.rank() != 3) {
    return value_error(cat("log_probs expects shape [t,n,classes] or [t,classes], got ", x.shape));
  }
  const bool one = x.rank() == 2;
  const int64_t n = one ? 1 : x.dim(1), classes = x.shape.back();
  if (blank < 0 || blank >= classes) {
    return value_error(cat("blank expects one of ", classes, " classes, got ", blank));
  }
  RUTILE_RETURN_IF_ERROR(check_labels("targets", targets));
  if (targets.rank() != 1 && (one || targets.rank() != 2 || targets.dim(0) != n)) {
    return value_error(cat("targets expects shape [", n, ",s] or [s], got ", targets.shape));
  }
  for (int i = 2; i < 4; ++i) {
    const char* name = i == 2 ? "input_lengths" : "target_lengths";
    RUTILE_RETURN_IF_ERROR(check_labels(name, c.in(first + i)));
    if (one && c.in(first + i).rank() == 0) continue;
    RUTILE_RETURN_IF_ERROR(check_shape(name, c.in(first + i), {n}));
  }
  int64_t room = 0;  // of the steps of the longest target there may be
  RUTILE_RETURN_IF_ERROR(checked_numel({x.dim(0), targets.shape.back(), 16}, &room));
  *shape = one ? Shape() : Shape{n};
  return Status();
}

Status infer_ctc_loss(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<CtcLossAttrs>();
  Shape shape;
  RUTILE_RETURN_IF_ERROR(check_ctc(c, 0, a.blank, &shape));
  *out = loss_meta(shape, c.in(0).dtype, c.in(0).device, a.reduction);
  return Status();
}
Status infer_ctc_nll(const CallMeta& c, TensorMeta* out) {
  Shape shape;
  RUTILE_RETURN_IF_ERROR(check_ctc(c, 0, c.as<CtcNllAttrs>().blank, &shape));
  *out = TensorMeta(shape, wide(c.in(0).dtype), c.in(0).device);
  return Status();
}
// Input i: one number for each sequence.
Status check_losses(const CallMeta& c, int i, const char* name, const TensorMeta& x,
                    const Shape& shape) {
  RUTILE_RETURN_IF_ERROR(check_shape(name, c.in(i), shape));
  if (c.in(i).dtype == wide(x.dtype)) return Status();
  return type_error(cat(name, " expects ", wide(x.dtype), ", got ", c.in(i).dtype));
}
Status infer_ctc_nll_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(1);
  Shape shape;
  RUTILE_RETURN_IF_ERROR(check_ctc(c, 1, c.as<CtcNllAttrs>().blank, &shape));
  RUTILE_RETURN_IF_ERROR(check_losses(c, 0, "dy", x, shape));
  RUTILE_RETURN_IF_ERROR(check_losses(c, 5, "nll", x, shape));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Status infer_ctc_nll_grad_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &ddx = c.in(0), &x = c.in(2);
  Shape shape;
  RUTILE_RETURN_IF_ERROR(check_ctc(c, 2, c.as<CtcNllAttrs>().blank, &shape));
  RUTILE_RETURN_IF_ERROR(check_shape("ddx", ddx, x.shape));
  if (ddx.dtype != x.dtype) return type_error(cat("ddx expects ", x.dtype, ", got ", ddx.dtype));
  RUTILE_RETURN_IF_ERROR(check_losses(c, 1, "dy", x, shape));
  RUTILE_RETURN_IF_ERROR(check_losses(c, 6, "nll", x, shape));
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = TensorMeta(shape, wide(x.dtype), x.device);
  return Status();
}

TensorList compose_ctc_loss(const void* attrs, In in) {
  const auto& a = *static_cast<const CtcLossAttrs*>(attrs);
  const CtcNllAttrs kernel{a.blank};
  Tensor loss = call1(kCtcNll, &kernel, {in[0], in[1], in[2], in[3]});
  if (a.zero_infinity) {
    loss = where(equal(loss, std::numeric_limits<double>::infinity()), 0.0, loss);
  }
  if (a.reduction == Reduction::kMean) {
    const Tensor lengths = reshape(in[3], loss.shape());
    loss = loss / maximum(cast(lengths, loss.dtype()), 1.0);
  }
  return {reduce_loss(loss, a.reduction)};
}

GradResult grad_ctc_nll(GradCtx& c) {
  return {
      call1(kCtcNllGrad, c.raw_attrs(), {c.grad(), c.in(0), c.in(1), c.in(2), c.in(3), c.out()}),
      Tensor(), Tensor(), Tensor()};
}

GradResult grad_ctc_nll_grad(GradCtx& c) {
  const Tensor in[] = {c.grad(), c.in(0), c.in(1), c.in(2), c.in(3), c.in(4), c.in(5)};
  const TensorList r = call_n(kCtcNllGradGrad, c.raw_attrs(), in);
  // nll stands in dx as the factor exp(nll).
  const Tensor by_nll = c.needs(5) ? c.in(0) * r[1] : Tensor();
  return {r[1], r[0], Tensor(), Tensor(), Tensor(), by_nll};
}

// A sum of three exponentials for each step and each place of the target with its blanks.
double lattice(const CallMeta& c, int first) {
  const TensorMeta &x = c.in(first), &targets = c.in(first + 1);
  if (x.rank() < 2) return 0;
  const double places = 2 * elements(targets) + 1;
  return 30 * static_cast<double>(x.dim(0)) * places;
}
double ctc_flops(const CallMeta& c) { return lattice(c, 0); }
double ctc_grad_flops(const CallMeta& c) { return 3 * lattice(c, 1); }
double ctc_grad_grad_flops(const CallMeta& c) { return 5 * lattice(c, 2); }

}  // namespace

constinit const OpDef kCtcLoss =
    define({.name = "ctc_loss",
            .inputs = {"log_probs", "targets", "input_lengths", "target_lengths"},
            .attrs = attrs_of<CtcLossAttrs>(),
            .infer = infer_ctc_loss,
            .flops = ctc_flops,
            .compose = compose_ctc_loss,
            .amp = Amp::kHigh,
            .checks_values = true,
            .doc = "Connectionist temporal classification: -log P of label sequences."});
Tensor ctc_loss(Arg log_probs, Arg targets, Arg input_lengths, Arg target_lengths, CtcLossAttrs a) {
  return call1(kCtcLoss, &a,
               {log_probs.tensor, targets.tensor, input_lengths.tensor, target_lengths.tensor},
               log_probs.where);
}

constinit const OpDef kCtcNll =
    define({.name = "ctc_nll",
            .inputs = {"log_probs", "targets", "input_lengths", "target_lengths"},
            .outputs = {"nll"},
            .attrs = attrs_of<CtcNllAttrs>(),
            .infer = infer_ctc_nll,
            .flops = ctc_flops,
            .grad = grad_ctc_nll,
            .saves = {"log_probs", "targets", "input_lengths", "target_lengths", "nll"},
            .amp = Amp::kHigh,
            .checks_values = true,
            .doc = "ctc_loss of each sequence."});
constinit const OpDef kCtcNllGrad =
    define({.name = "ctc_nll_grad",
            .inputs = {"dy", "log_probs", "targets", "input_lengths", "target_lengths", "nll"},
            .outputs = {"dx"},
            .attrs = attrs_of<CtcNllAttrs>(),
            .infer = infer_ctc_nll_grad,
            .flops = ctc_grad_flops,
            .grad = grad_ctc_nll_grad,
            .saves = {"dy", "log_probs", "targets", "input_lengths", "target_lengths", "nll"},
            .amp = Amp::kKeep,
            .checks_values = true,
            .doc = "Gradient of ctc_nll by log_probs."});
constinit const OpDef kCtcNllGradGrad = define(
    {.name = "ctc_nll_grad_grad",
     .inputs = {"ddx", "dy", "log_probs", "targets", "input_lengths", "target_lengths", "nll"},
     .outputs = {"dx", "ddy"},
     .attrs = attrs_of<CtcNllAttrs>(),
     .infer = infer_ctc_nll_grad_grad,
     .flops = ctc_grad_grad_flops,
     .amp = Amp::kKeep,
     .checks_values = true,
     .no_grad = "third derivatives of ctc_loss are not computed",
     .doc = "Gradient of ctc_nll_grad."});

}  // namespace rutile::ops

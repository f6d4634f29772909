// SPDX-License-Identifier: Apache-2.0
// Broadcasting as a view, and summing back.
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/reduce.h"

namespace rutile::ops {
namespace {

Status infer_sum_to_shape(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SumToShapeAttrs>();
  Shape wide;
  int64_t n = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.shape, &n));
  if (!broadcast_shapes(a.shape, c.in(0).shape, &wide).ok() || !(wide == c.in(0).shape)) {
    return value_error(cat("shape ", a.shape, " does not broadcast to ", c.in(0).shape));
  }
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(linear_sum_dtype(c.in(0), a.dtype, &dtype));
  *out = TensorMeta(a.shape, dtype, c.in(0).device);
  return Status();
}
GradResult grad_sum_to_shape(GradCtx& c) {
  return {broadcast_to(cast(c.grad(), c.in_meta(0).dtype), c.in_meta(0).shape)};
}

// Dimension of x behind each dimension of the result, -1 for a new one.
Status source_dims(const BroadcastToAttrs& a, int x_rank, int* source) {
  const int rank = a.shape.rank();
  const int lacking = rank - x_rank;
  if (lacking < 0) return value_error(cat("shape ", a.shape, " has fewer dimensions than x"));
  if (!a.axes.empty() && a.axes.rank() != lacking) {
    return value_error(
        cat("axes ", a.axes, " must name the ", lacking, " dimensions that x lacks"));
  }
  uint32_t mask = (1u << lacking) - 1;
  if (!a.axes.empty()) RUTILE_RETURN_IF_ERROR(axis_mask(a.axes, rank, &mask));
  for (int i = 0, next = 0; i < rank; ++i) source[i] = mask >> i & 1u ? -1 : next++;
  return Status();
}

Status infer_broadcast_to(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<BroadcastToAttrs>();
  const TensorMeta& x = c.in(0);
  if (x.layout != kStrided) {
    return Status(ErrorCode::kUnsupported, "takes strided tensors only");
  }
  int64_t n = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.shape, &n));
  int source[kMaxRank];
  RUTILE_RETURN_IF_ERROR(source_dims(a, x.rank(), source));
  *out = x;
  out->shape = a.shape;
  out->strides = Strides::filled(a.shape.rank(), 0);
  for (int i = 0; i < a.shape.rank(); ++i) {
    const int d = source[i];
    if (d < 0) continue;
    if (x.shape[d] == a.shape[i]) {
      out->strides[i] = x.strides[d];
    } else if (x.shape[d] != 1) {
      return value_error(cat("shape ", x.shape, " does not broadcast to ", a.shape));
    }
  }
  return Status();
}

GradResult grad_broadcast_to(GradCtx& c) {
  const auto& a = c.attrs<BroadcastToAttrs>();
  const TensorMeta& x = c.in_meta(0);
  if (a.axes.empty()) return {unbroadcast(c.grad(), x)};
  return {unbroadcast(sum(c.grad(), {.axes = a.axes}), x)};
}

int64_t no_offset(const CallMeta&, int) { return 0; }

}  // namespace

constinit const OpDef kSumToShape =
    define({.name = "sum_to_shape",
            .inputs = {"x"},
            .attrs = attrs_of<SumToShapeAttrs>(),
            .infer = infer_sum_to_shape,
            .flops = flops_per_input<1>,
            .grad = grad_sum_to_shape,
            .doc = "Sum over the dimensions in which `shape` was broadcast to x's shape."});
Tensor sum_to_shape(Arg x, const Shape& shape, OptionalDType dtype) {
  const SumToShapeAttrs attrs{shape, dtype};
  return call1(kSumToShape, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kBroadcastTo = define({.name = "broadcast_to",
                                             .inputs = {"x"},
                                             .attrs = attrs_of<BroadcastToAttrs>(),
                                             .infer = infer_broadcast_to,
                                             .grad = grad_broadcast_to,
                                             .alias_of = {"x"},
                                             .view_offset = no_offset,
                                             .doc = "View of x repeated to a larger shape."});
Tensor broadcast_to(Arg x, const Shape& shape, const Dims& axes) {
  if (x.tensor.shape() == shape) return x.tensor;
  const BroadcastToAttrs attrs{shape, axes};
  return call1(kBroadcastTo, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops

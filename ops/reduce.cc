// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/reduce.h"

#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"

namespace rutile::ops {
namespace {

// The axes as a bit mask; all of them for none.
Status axis_mask(const Dims& axes, int rank, uint32_t* mask) {
  *mask = axes.empty() ? (1u << rank) - 1 : 0;
  for (const int64_t axis : axes) {
    int d = 0;
    RUTILE_RETURN_IF_ERROR(normalize_axis(axis, rank, &d));
    if (*mask >> d & 1u) return value_error(cat("axis ", axis, " is named twice"));
    *mask |= 1u << d;
  }
  return Status();
}

Shape reduced_shape(const Shape& shape, uint32_t mask, bool keepdims) {
  Shape out;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!(mask >> i & 1u)) {
      out.push_back(shape[i]);
    } else if (keepdims) {
      out.push_back(1);
    }
  }
  return out;
}

// dtype of a sum: integers and bool widen to 64 bits.
Status sum_dtype(DType in, OptionalDType wanted, DType* out) {
  if (is_complex(in) || (wanted.set && is_complex(wanted.value))) {
    return type_error("knows no complex numbers");
  }
  if (wanted.set && !is_floating(wanted.value) && is_floating(in)) {
    return type_error(cat("cannot sum ", in, " as ", wanted.value));
  }
  *out = wanted.set       ? wanted.value
         : is_floating(in) ? in
         : in == DType::kU64 ? DType::kU64
                             : DType::kI64;
  return Status();
}

Status infer_sum(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SumAttrs>();
  uint32_t mask = 0;
  RUTILE_RETURN_IF_ERROR(axis_mask(a.axes, c.in(0).rank(), &mask));
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(sum_dtype(c.in(0).dtype, a.dtype, &dtype));
  *out = TensorMeta(reduced_shape(c.in(0).shape, mask, a.keepdims), dtype, c.in(0).device);
  return Status();
}

// `g`, reduced over `axes`, spread over x's shape again.
Tensor spread(const Tensor& g, const Dims& axes, bool keepdims, const TensorMeta& x) {
  Dims lacking;
  if (!keepdims) {
    uint32_t mask = 0;
    throw_if_error(axis_mask(axes, x.rank(), &mask));
    for (int i = 0; i < x.rank(); ++i) {
      if (mask >> i & 1u) lacking.push_back(i);
    }
  }
  return broadcast_to(cast(g, x.dtype), x.shape, lacking);
}

GradResult grad_sum(GradCtx& c) {
  const auto& a = c.attrs<SumAttrs>();
  return {spread(c.grad(), a.axes, a.keepdims, c.in_meta(0))};
}

Status infer_sum_to_shape(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SumToShapeAttrs>();
  Shape wide;
  int64_t n = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.shape, &n));
  if (!broadcast_shapes(a.shape, c.in(0).shape, &wide).ok() || !(wide == c.in(0).shape)) {
    return value_error(cat("shape ", a.shape, " does not broadcast to ", c.in(0).shape));
  }
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(sum_dtype(c.in(0).dtype, a.dtype, &dtype));
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
    return value_error(cat("axes ", a.axes, " must name the ", lacking, " dimensions that x lacks"));
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

constinit const OpDef kSum =
    define({.name = "sum", .inputs = {"x"}, .attrs = attrs_of<SumAttrs>(), .infer = infer_sum,
            .grad = grad_sum, .amp = Amp::kHigh, .doc = "Sum over axes."});
Tensor sum(Arg x, SumAttrs attrs) { return call1(kSum, &attrs, {x.tensor}, x.where); }

constinit const OpDef kSumToShape =
    define({.name = "sum_to_shape", .inputs = {"x"}, .attrs = attrs_of<SumToShapeAttrs>(),
            .infer = infer_sum_to_shape, .grad = grad_sum_to_shape,
            .doc = "Sum over the dimensions in which `shape` was broadcast to x's shape."});
Tensor sum_to_shape(Arg x, const Shape& shape, OptionalDType dtype) {
  const SumToShapeAttrs attrs{shape, dtype};
  return call1(kSumToShape, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kBroadcastTo =
    define({.name = "broadcast_to", .inputs = {"x"}, .attrs = attrs_of<BroadcastToAttrs>(),
            .infer = infer_broadcast_to, .grad = grad_broadcast_to, .alias_of = {"x"},
            .view_offset = no_offset, .doc = "View of x repeated to a larger shape."});
Tensor broadcast_to(Arg x, const Shape& shape, const Dims& axes) {
  if (x.tensor.shape() == shape) return x.tensor;
  const BroadcastToAttrs attrs{shape, axes};
  return call1(kBroadcastTo, &attrs, {x.tensor}, x.where);
}

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/distance.h"

#include <algorithm>
#include <cmath>

#include "rutile/core/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/image_meta.h"
#include "rutile/ops/linalg.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {

namespace {

Status check_p(double p) {
  return std::isnan(p) ? value_error("p must be a number, got nan") : Status();
}
Status check_numbers(const TensorMeta& x) {
  return is_complex(x.dtype) ? Status() : check_floating(x, "x");
}

Status check_eps(double eps) {
  if (std::isfinite(eps)) return Status();
  return value_error(cat("eps must be a finite number, got ", eps));
}

// Along an axis that stays, with size 1. The gradient at 0 is 0 for every p.
Tensor p_norm(const Tensor& x, int64_t axis, double p) {
  const SumAttrs along{.axes = {axis}, .keepdims = true};
  if (p < 0) return vector_norm(x, {.ord = p, .axes = {axis}, .keepdims = true});
  if (p == 2) return norm(x, {.axes = {axis}, .keepdims = true});
  if (p == 1) return sum(abs(x), along);
  if (p == 0) return sum(cast(not_equal(x, 0.0), x.dtype()), along);
  if (std::isinf(p)) return max(abs(x), {.axes = {axis}, .keepdims = true});
  return flat_power(sum(flat_power(abs(x), p), along), 1 / p);
}

Status infer_normalize(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<NormalizeAttrs>();
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(check_numbers(x));
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, std::max(x.rank(), 1), &axis));
  RUTILE_RETURN_IF_ERROR(check_p(a.p));
  RUTILE_RETURN_IF_ERROR(check_eps(a.eps));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

TensorList compose_normalize(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const NormalizeAttrs*>(attrs);
  const Tensor x = wide(in[0]);
  if (x.numel() == 0) return {in[0] + in[0]};
  return {cast(x / maximum(p_norm(x, a.axis, a.p), a.eps), in[0].dtype())};
}

// The broadcast shape of both inputs and where the axis lies in it.
Status check_pair(const CallMeta& c, int64_t axis, Shape* shape, int* where) {
  RUTILE_RETURN_IF_ERROR(check_numbers(c.in(0)));
  if (c.in(1).dtype != c.in(0).dtype) {
    return type_error(cat("expects one dtype, got ", c.in(0).dtype, " and ", c.in(1).dtype));
  }
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(c.in(0).shape, c.in(1).shape, shape));
  return normalize_axis(axis, std::max(shape->rank(), 1), where);
}

TensorMeta reduced(const CallMeta& c, const Shape& shape, int axis, bool keepdims) {
  Shape rest;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i != axis) rest.push_back(shape[i]);
    if (i == axis && keepdims) rest.push_back(1);
  }
  return TensorMeta(rest, real_dtype(c.in(0).dtype), c.in(0).device);
}

Status infer_cosine(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<CosineSimilarityAttrs>();
  Shape shape;
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(check_floating(c.in(0), "x"));
  RUTILE_RETURN_IF_ERROR(check_pair(c, a.axis, &shape, &axis));
  RUTILE_RETURN_IF_ERROR(check_eps(a.eps));
  *out = reduced(c, shape, axis, false);
  return Status();
}

TensorList compose_cosine(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const CosineSimilarityAttrs*>(attrs);
  Shape shape;
  throw_if_error(broadcast_shapes(in[0].shape(), in[1].shape(), &shape));
  const auto direction = [&](const Tensor& t) {
    const Tensor full = broadcast_to(wide(t), shape);
    return full / maximum(p_norm(full, a.axis, 2), a.eps);
  };
  return {cast(sum(direction(in[0]) * direction(in[1]), {.axes = {a.axis}}), in[0].dtype())};
}

Status infer_distance(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<PairwiseDistanceAttrs>();
  Shape shape;
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(check_pair(c, -1, &shape, &axis));
  if (shape.rank() == 0) return index_error("axis -1: a 0-d tensor has no axes");
  RUTILE_RETURN_IF_ERROR(check_p(a.p));
  RUTILE_RETURN_IF_ERROR(check_eps(a.eps));
  if ((std::isinf(a.p) || a.p < 0) && shape[axis] == 0) {
    return value_error("has no largest difference of vectors without elements");
  }
  *out = reduced(c, shape, axis, a.keepdims);
  return Status();
}

TensorList compose_distance(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const PairwiseDistanceAttrs*>(attrs);
  const Tensor length = p_norm(wide(in[0]) - wide(in[1]) + a.eps, -1, a.p);
  const DType dtype = real_dtype(in[0].dtype());
  if (a.keepdims) return {cast(length, dtype)};
  return {cast(sum(length, {.axes = {-1}}), dtype)};  // of one element
}

}  // namespace

constinit const OpDef kNormalize = define({
    .name = "normalize",
    .inputs = {"x"},
    .attrs = attrs_of<NormalizeAttrs>(),
    .infer = infer_normalize,
    .flops = flops_per_input<4>,
    .compose = compose_normalize,
    .amp = Amp::kHigh,
    .doc = "Divides by the p-norm along an axis.",
});

constinit const OpDef kCosineSimilarity = define({
    .name = "cosine_similarity",
    .inputs = {"x", "y"},
    .attrs = attrs_of<CosineSimilarityAttrs>(),
    .infer = infer_cosine,
    .flops = flops_per_operand<4>,
    .compose = compose_cosine,
    .amp = Amp::kHigh,
    .promote = true,
    .doc = "Cosine of the angle between vectors along an axis.",
});

constinit const OpDef kPairwiseDistance = define({
    .name = "pairwise_distance",
    .inputs = {"x", "y"},
    .attrs = attrs_of<PairwiseDistanceAttrs>(),
    .infer = infer_distance,
    .flops = flops_per_operand<3>,
    .compose = compose_distance,
    .amp = Amp::kHigh,
    .promote = true,
    .doc = "p-norm of the difference of vectors along the last axis.",
});

Tensor normalize(Arg x, NormalizeAttrs attrs) {
  return call1(kNormalize, &attrs, {x.tensor}, x.where);
}

Tensor cosine_similarity(Arg x, Arg y, CosineSimilarityAttrs attrs) {
  return call1(kCosineSimilarity, &attrs, {x.tensor, y.tensor}, x.where);
}

Tensor pairwise_distance(Arg x, Arg y, PairwiseDistanceAttrs attrs) {
  return call1(kPairwiseDistance, &attrs, {x.tensor, y.tensor}, x.where);
}

}  // namespace rutile::ops

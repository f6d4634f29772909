// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/unique.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/require.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

Status infer_unique(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (is_complex(x.dtype)) return type_error("complex numbers have no order");
  out[0] = TensorMeta({x.numel()}, x.dtype, x.device);
  out[1] = TensorMeta(x.shape, DType::kI64, x.device);
  out[2] = TensorMeta({x.numel()}, DType::kI64, x.device);
  out[3] = TensorMeta({}, DType::kI64, x.device);
  return Status();
}

Status infer_masked_select(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &mask = c.in(1);
  if (mask.dtype != DType::kBool) return type_error(cat("mask expects bool, got ", mask.dtype));
  Shape shape;
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(x.shape, mask.shape, &shape));
  int64_t n = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &n));
  out[0] = TensorMeta({n}, x.dtype, x.device);
  out[1] = TensorMeta({}, DType::kI64, x.device);
  return Status();
}

Status infer_unique_rows(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (is_complex(x.dtype)) return type_error("complex numbers have no order");
  if (x.rank() != 2) return value_error(cat("expects shape [n,k], got ", x.shape));
  for (int i = 0; i < 3; ++i) out[i] = TensorMeta({x.dim(0)}, DType::kI64, x.device);
  out[3] = TensorMeta({}, DType::kI64, x.device);
  return Status();
}

TensorList compose_masked_select(const void*, In in) {
  Shape shape;
  throw_if_error(broadcast_shapes(in[0].shape(), in[1].shape(), &shape));
  const int64_t n = shape.numel();
  const Tensor x = reshape(broadcast_to(in[0], shape), {n});
  const Tensor mask = reshape(broadcast_to(in[1], shape), {n});
  const TensorList places = call_n(kNonzero, nullptr, {&mask, 1});
  if (n == 0) return {x, places[1]};
  const Tensor chosen = gather(x, reshape(places[0], {n}), 0);  // -1 behind the count
  const Tensor there = less(arange(0, n), places[1]);
  return {where(there, chosen, full({}, 0, x.dtype())), places[1]};
}

Status infer_bincount(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const int64_t length = c.as<BincountAttrs>().length;
  if (!is_integral(x.dtype)) return type_error(cat("x expects integers, got ", x.dtype));
  DType dtype = DType::kI64;
  if (c.has(1)) {
    if (!(c.in(1).shape == x.shape)) {
      return value_error(cat("weights expects x's shape ", x.shape, ", got ", c.in(1).shape));
    }
    const DType w = c.in(1).dtype;
    if (is_complex(w)) return type_error(cat("weights expects real numbers, got ", w));
    dtype = is_floating(w) ? w : DType::kF64;
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({length}, &numel));
  *out = TensorMeta({length}, dtype, x.device);
  return Status();
}

Tensor counted(const Tensor& index, const Tensor& weights, int64_t length) {
  const TakeAlongAttrs strict{0, false};
  const Tensor none = broadcast_to(full({}, 0, weights.dtype()), {length});
  return call1(kScatterAdd, &strict, {none, index, weights});
}

TensorList compose_bincount(const void* attrs, In in) {
  const int64_t length = static_cast<const BincountAttrs*>(attrs)->length, n = in[0].numel();
  const Tensor index = cast(reshape(in[0], {n}), DType::kI64), weights = operand(in, 1);
  if (weights.defined()) {
    const DType t = is_floating(weights.dtype()) ? weights.dtype() : DType::kF64;
    return {counted(index, cast(reshape(weights, {n}), t), length)};
  }
  return {counted(index, broadcast_to(full({}, 1, DType::kI64), {n}), length)};
}

Status infer_histc(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<HistcAttrs>();
  const TensorMeta& x = c.in(0);
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  if (a.bins < 1) return value_error(cat("expects bins >= 1, got ", a.bins));
  if (!(a.min <= a.max) || !std::isfinite(a.max - a.min)) {
    return value_error(cat("expects min <= max, both finite, got ", a.min, " and ", a.max));
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({a.bins}, &numel));
  *out = TensorMeta({a.bins}, x.dtype, x.device);
  return Status();
}

TensorList compose_histc(const void* attrs, In in) {
  const auto& a = *static_cast<const HistcAttrs*>(attrs);
  const int64_t n = in[0].numel();
  if (n == 0) return {full({a.bins}, 0, in[0].dtype())};
  const Tensor x = cast(reshape(in[0], {n}), DType::kF64);
  Tensor low = full({}, a.min, DType::kF64), high = full({}, a.max, DType::kF64);
  if (a.min == a.max) {  // one value alone gets a range around it
    if (a.min == 0) {
      low = require_range(min(x), {.what = "the least number"});
      high = require_range(max(x), {.what = "the largest number"});
    }
    const Tensor point = equal(low, high);
    low = where(point, low - 1, low);
    high = where(point, high + 1, high);
  }
  const Tensor inside = logical_and(greater_equal(x, low), less_equal(x, high));
  const Tensor part = where(inside, (x - low) * static_cast<double>(a.bins) / (high - low), 0.0);
  const Tensor bin = minimum(cast(part, DType::kI64), Scalar(a.bins - 1));
  return {cast(counted(bin, cast(inside, DType::kI64), a.bins), in[0].dtype())};
}

double sort_flops(const CallMeta& c) {
  const double n = elements(c.in(0));
  return n * std::max(1.0, std::log2(std::max(n, 1.0)));
}

Unique cut(const OpDef& op, Arg x) {
  const TensorList y = call_n(op, nullptr, {&x.tensor, 1}, x.where);
  const int64_t n = y[3].item<int64_t>();
  return {slice(y[0], {0}, {n}), y[1], slice(y[2], {0}, {n})};
}

}  // namespace

constinit const OpDef kUnique =
    define({.name = "unique",
            .inputs = {"x"},
            .outputs = {"values", "inverse", "counts", "count"},
            .infer = infer_unique,
            .flops = sort_flops,
            .no_grad = "which element a value comes from is not defined",
            .doc = "The distinct elements in order, `count` of them, where each element stands "
                   "among them, and how often each comes."});
constinit const OpDef kUniqueConsecutive =
    define({.name = "unique_consecutive",
            .inputs = {"x"},
            .outputs = {"values", "inverse", "counts", "count"},
            .infer = infer_unique,
            .flops = flops_per_input<1>,
            .no_grad = "which element a value comes from is not defined",
            .doc = "x with equal neighbours taken together, `count` elements."});
Unique unique(Arg x) { return cut(kUnique, x); }
Unique unique_consecutive(Arg x) { return cut(kUniqueConsecutive, x); }

constinit const OpDef kUniqueRows = define(
    {.name = "unique_rows",
     .inputs = {"x"},
     .outputs = {"places", "inverse", "counts", "count"},
     .attrs = attrs_of<UniqueRowsAttrs>(),
     .infer = infer_unique_rows,
     .flops = sort_flops,
     .no_grad = "which row a value comes from is not defined",
     .doc = "Where the first of each kind of rows stands, in order, `count` of them, which kind "
            "each row is, and how often each comes."});
Unique unique_along(Arg x, int64_t axis, bool consecutive) {
  const Tensor& t = x.tensor;
  int d = 0;
  throw_if_error(normalize_axis(axis, t.rank(), &d));
  const int64_t n = t.dim(d);
  int64_t k = 1;
  for (int i = 0; i < t.rank(); ++i) k *= i == d ? 1 : t.dim(i);
  Dims front{d};
  for (int i = 0; i < t.rank(); ++i) {
    if (i != d) front.push_back(i);
  }
  const Tensor rows = reshape(transpose(x, front), {n, k});
  const UniqueRowsAttrs a{consecutive};
  const TensorList y = call_n(kUniqueRows, &a, {&rows, 1}, x.where);
  const int64_t count = y[3].item<int64_t>();
  return {gather(t, slice(y[0], {0}, {count}), d), y[1], slice(y[2], {0}, {count})};
}

constinit const OpDef kMaskedSelect =
    define({.name = "masked_select",
            .inputs = {"x", "mask"},
            .outputs = {"values", "count"},
            .infer = infer_masked_select,
            .flops = flops_per_output<1>,
            .compose = compose_masked_select,
            .doc = "The elements where the mask is true, `count` of them, then zeros."});
Tensor masked_select(Arg x, Arg mask) {
  const Tensor in[] = {x.tensor, mask.tensor};
  const TensorList y = call_n(kMaskedSelect, nullptr, in, x.where);
  return slice(Arg(y[0], x.where), {0}, {y[1].item<int64_t>()});
}

constinit const OpDef kBincount = define({.name = "bincount",
                                          .inputs = {"x", "weights?"},
                                          .attrs = attrs_of<BincountAttrs>(),
                                          .infer = infer_bincount,
                                          .flops = flops_per_input<1>,
                                          .compose = compose_bincount,
                                          .checks_values = true,
                                          .doc = "How often each number from 0 on comes in x."});
Tensor bincount(Arg x, const Tensor& weights, int64_t minlength) {
  int64_t largest = -1;
  if (x.tensor.numel() > 0) largest = max(x).item<int64_t>();
  constexpr int64_t kMost = int64_t{1} << 36;  // half a TiB of counts
  if (largest >= kMost) {
    throw_error(ErrorCode::kValue, cat("[bincount] number ", largest, " is too large to count"));
  }
  const BincountAttrs a{std::max(largest + 1, std::max<int64_t>(minlength, 0))};
  return call1(kBincount, &a, {x.tensor, weights}, x.where);
}

constinit const OpDef kHistc = define({.name = "histc",
                                       .inputs = {"x"},
                                       .attrs = attrs_of<HistcAttrs>(),
                                       .infer = infer_histc,
                                       .flops = flops_per_input<6>,
                                       .compose = compose_histc,
                                       .no_grad = "piecewise constant",
                                       .doc = "How many elements fall into each of equal bins."});
Tensor histc(Arg x, HistcAttrs attrs) { return call1(kHistc, &attrs, {x.tensor}, x.where); }

}  // namespace rutile::ops

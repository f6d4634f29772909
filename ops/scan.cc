// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/scan.h"

#include <algorithm>
#include <limits>

#include "rutile/core/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/lines.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

Status infer_cumprod(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<ScanAttrs>().axis, x.rank(), &axis));
  DType dtype{};
  RUTILE_RETURN_IF_ERROR(linear_sum_dtype(x, {}, &dtype));
  *out = TensorMeta(x.shape, dtype, x.device);
  return Status();
}

Status infer_extremes(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<ScanAttrs>().axis, x.rank(), &axis));
  if (is_complex(x.dtype)) return type_error("complex numbers have no order");
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = TensorMeta(x.shape, DType::kI64, x.device);
  return Status();
}

Status infer_logcumsumexp(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<LogcumsumexpAttrs>().axis, x.rank(), &axis));
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Status infer_diff(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<DiffAttrs>();
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  if (a.n < 0) return value_error(cat("expects n >= 0, got ", a.n));
  Shape shape = x.shape;
  shape[axis] = a.n >= shape[axis] ? 0 : shape[axis] - a.n;
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

Status infer_trapezoid(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& y = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<TrapezoidAttrs>().axis, y.rank(), &axis));
  if (y.dtype == DType::kBool) return type_error("expects numbers, got bool");
  if (c.has(1)) {
    const TensorMeta& x = c.in(1);
    bool fits = x.shape == Shape{y.dim(axis)} || x.rank() == y.rank();
    for (int i = 0; fits && x.rank() > 1 && i < y.rank(); ++i) {
      fits = x.dim(i) == y.dim(i) || (x.dim(i) == 1 && i != axis);
    }
    if (!fits || (y.rank() == 1 && x.dim(0) != y.dim(0))) {
      return value_error(
          cat("x expects shape [", y.dim(axis), "] or ", y.shape, ", got ", x.shape));
    }
    if (x.dtype != y.dtype) {
      return type_error(cat("expects inputs of one dtype, got ", y.dtype, " and ", x.dtype));
    }
  }
  Shape shape;
  for (int i = 0; i < y.rank(); ++i) {
    if (i != axis) shape.push_back(y.shape[i]);
  }
  *out = TensorMeta(shape, float_dtype(y.dtype), y.device);
  return Status();
}

// Before the first zero x divides the products behind it; the first zero itself gets the products
// of the others; behind it all products are zero.
GradResult grad_cumprod(GradCtx& c) {
  const int64_t axis = c.attrs<ScanAttrs>().axis;
  const Tensor x = wide(c.in(0)), g = wide(c.grad()), y = wide(c.out());
  const Tensor zero = equal(x, 0);
  const Tensor seen = cumsum(cast(zero, DType::kI64), {.axis = axis});
  const Tensor first = logical_and(zero, equal(seen, 1));
  const CumsumAttrs back{.axis = axis, .reverse = true};
  const Tensor head = cumsum(g * y, back) / where(zero, 1.0, x);
  const Tensor others = cumprod(where(first, 1.0, x), axis);
  const Tensor tail = cumsum(where(equal(seen, 1), g * others, 0.0), back);
  const Tensor dx = where(equal(seen, 0), head, where(first, tail, 0.0));
  return {cast(dx, c.in_meta(0).dtype)};
}

GradResult grad_extremes(GradCtx& c) {
  if (!c.grad().defined()) return {Tensor()};
  const TensorMeta& x = c.in_meta(0);
  return {scatter_add(broadcast_to(full({}, 0, x.dtype), x.shape), c.out(1), c.grad(),
                      c.attrs<ScanAttrs>().axis)};
}

// The sum over the later j of g_j exp(x_i - y_j), its positive and negative terms apart as
// logarithms: nothing overflows on the way.
GradResult grad_logcumsumexp(GradCtx& c) {
  LogcumsumexpAttrs back = c.attrs<LogcumsumexpAttrs>();
  back.reverse = !back.reverse;
  constexpr double kLow = -std::numeric_limits<double>::infinity();
  const Tensor x = wide(c.in(0)), g = wide(c.grad()), y = wide(c.out());
  const Tensor nothing = equal(y, kLow);
  auto part = [&](const Tensor& size) {
    const Tensor there = greater(size, 0);
    const Tensor logs = log(where(there, size, 1.0)) - where(nothing, 0.0, y);
    const Tensor terms = where(logical_and(there, logical_not(nothing)), logs, kLow);
    return exp(logcumsumexp(terms, back) + x);
  };
  return {cast(part(g) - part(-g), c.in_meta(0).dtype)};
}

TensorList compose_diff(const void* attrs, In in) {
  const auto& a = *static_cast<const DiffAttrs*>(attrs);
  Tensor y = in[0];
  const int axis = static_cast<int>(a.axis < 0 ? a.axis + y.rank() : a.axis);
  for (int64_t i = std::min(a.n, y.dim(axis)); i > 0; --i) {
    const Tensor later = slice_axis(y, axis, 1, kEnd);
    const Tensor earlier = slice_axis(y, axis, 0, std::max<int64_t>(y.dim(axis) - 1, 0));
    y = y.dtype() == DType::kBool ? not_equal(later, earlier) : later - earlier;
  }
  return {y};
}

// Integers as f32, f16 and bf16 too.
Tensor of_floats(const Tensor& x) { return wide(cast(x, float_dtype(x.dtype()))); }

}  // namespace

Tensor trapezoid_areas(const Tensor& of, const Tensor& points, const TrapezoidAttrs& a) {
  const Tensor y = of_floats(of);
  const int axis = static_cast<int>(a.axis < 0 ? a.axis + y.rank() : a.axis);
  const int64_t n = y.dim(axis);
  const Tensor pairs =
      slice_axis(y, axis, 1, kEnd) + slice_axis(y, axis, 0, std::max<int64_t>(n - 1, 0));
  if (points.defined()) {
    Tensor d = diff(of_floats(points), {1, points.rank() == y.rank() ? axis : 0});
    if (points.rank() != y.rank()) {
      Shape line = Shape::filled(y.rank(), 1);
      line[axis] = d.dim(0);
      d = reshape(d, line);
    }
    return pairs * d * 0.5;
  }
  return pairs * (0.5 * a.dx);
}

namespace {

TensorList compose_trapezoid(const void* attrs, In in) {
  const auto& a = *static_cast<const TrapezoidAttrs*>(attrs);
  const int axis = static_cast<int>(a.axis < 0 ? a.axis + in[0].rank() : a.axis);
  const int64_t n = in[0].dim(axis);
  const DType t = float_dtype(in[0].dtype());
  if (!operand(in, 1).defined() && n >= 2) {  // every point but the ends counts twice
    const Tensor y = of_floats(in[0]);
    const Tensor ends = slice_axis(y, axis, 0, 1) + slice_axis(y, axis, n - 1, n);
    const Tensor inside = sum(slice_axis(y, axis, 1, n - 1), {.axes = {axis}});
    return {cast((inside + squeeze(ends, {axis}) * 0.5) * a.dx, t)};
  }
  const Tensor areas = trapezoid_areas(in[0], operand(in, 1), a);
  return {cast(sum(areas, {.axes = {a.axis}}), t)};
}

ValuesIndices pair(const OpDef& op, Arg x, int64_t axis) {
  const ScanAttrs a{axis};
  const TensorList y = call_n(op, &a, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

}  // namespace

constinit const OpDef kCumprod = define({.name = "cumprod",
                                         .inputs = {"x"},
                                         .attrs = attrs_of<ScanAttrs>(),
                                         .infer = infer_lines<infer_cumprod>,
                                         .flops = flops_per_input<1>,
                                         .grad = holomorphic<grad_cumprod>,
                                         .saves = {"x", "y"},
                                         .amp = Amp::kHigh,
                                         .doc = "Running products along an axis."});
Tensor cumprod(Arg x, int64_t axis) {
  const ScanAttrs a{axis};
  return call1(kCumprod, &a, {x.tensor}, x.where);
}

constinit const OpDef kCummax = define({.name = "cummax",
                                        .inputs = {"x"},
                                        .outputs = {"values", "indices"},
                                        .attrs = attrs_of<ScanAttrs>(),
                                        .infer = infer_lines<infer_extremes>,
                                        .flops = flops_per_input<1>,
                                        .grad = grad_extremes,
                                        .saves = {"indices"},
                                        .doc = "Running maximum along an axis and its places."});
ValuesIndices cummax(Arg x, int64_t axis) { return pair(kCummax, x, axis); }
constinit const OpDef kCummin = define({.name = "cummin",
                                        .inputs = {"x"},
                                        .outputs = {"values", "indices"},
                                        .attrs = attrs_of<ScanAttrs>(),
                                        .infer = infer_lines<infer_extremes>,
                                        .flops = flops_per_input<1>,
                                        .grad = grad_extremes,
                                        .saves = {"indices"},
                                        .doc = "Running minimum along an axis and its places."});
ValuesIndices cummin(Arg x, int64_t axis) { return pair(kCummin, x, axis); }

constinit const OpDef kLogcumsumexp =
    define({.name = "logcumsumexp",
            .inputs = {"x"},
            .attrs = attrs_of<LogcumsumexpAttrs>(),
            .infer = infer_lines<infer_logcumsumexp>,
            .flops = flops_per_input<4>,
            .grad = grad_logcumsumexp,
            .saves = {"x", "y"},
            .amp = Amp::kHigh,
            .doc = "log of the running sum of exp(x), without overflow."});
Tensor logcumsumexp(Arg x, LogcumsumexpAttrs attrs) {
  return call1(kLogcumsumexp, &attrs, {x.tensor}, x.where);
}

constinit const OpDef kDiff = define({.name = "diff",
                                      .inputs = {"x"},
                                      .attrs = attrs_of<DiffAttrs>(),
                                      .infer = infer_diff,
                                      .flops = flops_per_output<1>,
                                      .compose = compose_diff,
                                      .doc = "Differences of neighbours along an axis."});
Tensor diff(Arg x, DiffAttrs attrs) { return call1(kDiff, &attrs, {x.tensor}, x.where); }

constinit const OpDef kTrapezoid = define({.name = "trapezoid",
                                           .inputs = {"y", "x?"},
                                           .outputs = {"z"},
                                           .attrs = attrs_of<TrapezoidAttrs>(),
                                           .infer = infer_trapezoid,
                                           .flops = flops_per_input<3>,
                                           .compose = compose_trapezoid,
                                           .amp = Amp::kHigh,
                                           .promote = true,
                                           .doc = "Integral by the trapezoidal rule."});
Tensor trapezoid(Arg y, TrapezoidAttrs attrs) {
  return call1(kTrapezoid, &attrs, {y.tensor}, y.where);
}
Tensor trapezoid(Arg y, Arg x, int64_t axis) {
  const TrapezoidAttrs a{1, axis};
  return call1(kTrapezoid, &a, {y.tensor, x.tensor}, y.where);
}

}  // namespace rutile::ops

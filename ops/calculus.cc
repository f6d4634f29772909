// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/calculus.h"

#include <algorithm>

#include "rutile/core/complex.h"
#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/order.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

int at_axis(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

// ---- gradient -----------------------------------------------------------------------------------

Status infer_gradient(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<GradientAttrs>();
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  if (a.edge_order != 1 && a.edge_order != 2) {
    return value_error(cat("edge_order expects 1 or 2, got ", a.edge_order));
  }
  if (x.dim(axis) < a.edge_order + 1) {
    return value_error(
        cat("axis ", axis, " expects ", a.edge_order + 1, " elements, got ", x.dim(axis)));
  }
  const DType t = float_dtype(x.dtype);
  if (c.has(1)) {
    if (!(c.in(1).shape == Shape{x.dim(axis)})) {
      return value_error(cat("coordinates expects shape [", x.dim(axis), "], got ", c.in(1).shape));
    }
    if (c.in(1).dtype != real_dtype(t)) {
      return type_error(cat("coordinates expects ", real_dtype(t), ", got ", c.in(1).dtype));
    }
  }
  *out = TensorMeta(x.shape, t, x.device);
  return Status();
}

// Slopes of the parabola through three points, dx1 and dx2 apart, at the first (-1), the middle (0)
// or the last one (1).
Tensor parabola(const Tensor& y0, const Tensor& y1, const Tensor& y2, const Tensor& dx1,
                const Tensor& dx2, int where) {
  const Tensor left = (y1 - y0) / dx1, right = (y2 - y1) / dx2, both = dx1 + dx2;
  const Tensor bend = (right - left) / both;
  return where < 0 ? left - bend * dx1 : where > 0 ? right + bend * dx2 : left + bend * dx1;
}
TensorList compose_gradient(const void* attrs, In in) {
  const auto& a = *static_cast<const GradientAttrs*>(attrs);
  const DType t = float_dtype(in[0].dtype());
  const Tensor x = cast(in[0], wide(t)), points = operand(in, 1);
  const int axis = at_axis(a.axis, x.rank());
  const int64_t n = x.dim(axis);
  Shape line = Shape::filled(x.rank(), 1);
  line[axis] = n - 1;
  const Tensor d = points.defined() ? reshape(diff(wide(points)), line)
                                    : full(line, a.spacing, real_dtype(x.dtype()));
  auto part = [&](const Tensor& v, int64_t from, int64_t to) {
    return slice_axis(v, axis, from, to);
  };
  std::vector<Tensor> parts;
  const bool ends = a.edge_order == 2;
  const auto three = [&](int64_t from, int where) {
    return parabola(part(x, from, from + 1), part(x, from + 1, from + 2),
                    part(x, from + 2, from + 3), part(d, from, from + 1),
                    part(d, from + 1, from + 2), where);
  };
  parts.push_back(ends ? three(0, -1) : (part(x, 1, 2) - part(x, 0, 1)) / part(d, 0, 1));
  if (n > 2) {
    parts.push_back(parabola(part(x, 0, n - 2), part(x, 1, n - 1), part(x, 2, n), part(d, 0, n - 2),
                             part(d, 1, n - 1), 0));
  }
  parts.push_back(ends ? three(n - 3, 1)
                       : (part(x, n - 1, n) - part(x, n - 2, n - 1)) / part(d, n - 2, n - 1));
  return {cast(concat(parts, axis), t)};
}

// ---- cumulative_trapezoid -----------------------------------------------------------------------

Status infer_cumulative(const CallMeta& c, TensorMeta* out) {
  TensorMeta area;
  RUTILE_RETURN_IF_ERROR(kTrapezoid.infer(CallMeta{&kTrapezoid, c.attrs, c.inputs, {}}, &area));
  const TensorMeta& y = c.in(0);
  const int axis = at_axis(c.as<TrapezoidAttrs>().axis, y.rank());
  Shape shape = y.shape;
  shape[axis] = std::max<int64_t>(shape[axis] - 1, 0);
  *out = TensorMeta(shape, area.dtype, y.device);
  return Status();
}
TensorList compose_cumulative(const void* attrs, In in) {
  const auto& a = *static_cast<const TrapezoidAttrs*>(attrs);
  const DType t = float_dtype(in[0].dtype());
  return {cast(cumsum(trapezoid_areas(in[0], operand(in, 1), a), {.axis = a.axis}), t)};
}

// ---- histogram ----------------------------------------------------------------------------------

Status infer_histogram(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<HistogramAttrs>();
  const TensorMeta& x = c.in(0);
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  for (int i = 1; i < 3; ++i) {
    if (c.has(i) && c.in(i).dtype != x.dtype) {
      return type_error(cat(c.op->input_name(i), " expects ", x.dtype, ", got ", c.in(i).dtype));
    }
  }
  if (c.has(2) && !(c.in(2).shape == x.shape)) {
    return value_error(cat("weight expects shape ", x.shape, ", got ", c.in(2).shape));
  }
  int64_t bins = a.bins;
  if (c.has(1)) {
    if (c.in(1).rank() != 1 || c.in(1).dim(0) < 2) {
      return value_error(cat("edges expects shape [n] with n > 1, got ", c.in(1).shape));
    }
    bins = c.in(1).dim(0) - 1;
  } else if (bins < 1 || bins > (int64_t{1} << 40) || !(a.min <= a.max)) {
    return value_error(
        cat("expects bins >= 1 and min <= max, got ", bins, ", ", a.min, " and ", a.max));
  }
  out[0] = TensorMeta({bins}, x.dtype, x.device);
  out[1] = TensorMeta({bins + 1}, x.dtype, x.device);
  return Status();
}
// Of all elements alike: half a unit to both sides.
Tensor even_edges(const Tensor& x, const HistogramAttrs& a) {
  if (x.numel() == 0 && a.min == 0 && a.max == 0) {  // from 0 to 1
    const Tensor i = arange(0, a.bins + 1, 1, x.dtype());
    return i * (1 / static_cast<double>(a.bins));
  }
  const bool given = a.min != 0 || a.max != 0;
  Tensor lo = given ? full({}, a.min, x.dtype()) : min(x);
  Tensor hi = given ? full({}, a.max, x.dtype()) : max(x);
  const Tensor same = equal(lo, hi);
  lo = where(same, lo - 0.5, lo);
  hi = where(same, hi + 0.5, hi);
  const Tensor i = arange(0, a.bins + 1, 1, x.dtype());
  const auto n = static_cast<double>(a.bins);
  return where(equal(i, n), hi, lo + i * ((hi - lo) / n));
}
TensorList compose_histogram(const void* attrs, In in) {
  const auto& a = *static_cast<const HistogramAttrs*>(attrs);
  const DType t = in[0].dtype();
  const int64_t n = in[0].numel();
  const Tensor x = reshape(wide(in[0]), {n});
  const Tensor given = operand(in, 1), weight = operand(in, 2);
  const Tensor edges = given.defined() ? wide(given) : even_edges(x, a);
  const int64_t bins = edges.dim(0) - 1;
  const Tensor last = slice_axis(edges, 0, bins, bins + 1);
  const Tensor first = slice_axis(edges, 0, 0, 1);
  const Tensor place = searchsorted(edges, x, {.right = true}) - 1;
  const Tensor counted = logical_and(greater_equal(x, first), less_equal(x, last));
  const Tensor w = weight.defined() ? reshape(wide(weight), {n}) : full({n}, 1, x.dtype());
  const Tensor bin = minimum(maximum(place, 0), bins - 1);
  Tensor counts = index_add(where(counted, w, 0.0), bin, 0, bins);
  if (a.density) {
    const Tensor widths = diff(edges);
    counts = counts / (sum(counts) * widths);
  }
  return {cast(counts, t), cast(edges, t)};
}

}  // namespace

constinit const OpDef kGradient = define({.name = "gradient",
                                          .inputs = {"x", "coordinates?"},
                                          .attrs = attrs_of<GradientAttrs>(),
                                          .infer = infer_gradient,
                                          .flops = flops_per_output<8>,
                                          .compose = compose_gradient,
                                          .amp = Amp::kHigh,
                                          .doc = "Slopes along an axis by central differences."});
Tensor gradient(Arg x, GradientAttrs attrs, const Tensor& coordinates) {
  return call1(kGradient, &attrs, {x.tensor, coordinates}, x.where);
}

constinit const OpDef kCumulativeTrapezoid =
    define({.name = "cumulative_trapezoid",
            .inputs = {"y", "x?"},
            .outputs = {"sums"},
            .attrs = attrs_of<TrapezoidAttrs>(),
            .infer = infer_cumulative,
            .flops = flops_per_output<4>,
            .compose = compose_cumulative,
            .amp = Amp::kHigh,
            .doc = "Running integrals along an axis by the trapezoidal rule."});
Tensor cumulative_trapezoid(Arg y, TrapezoidAttrs attrs) {
  return call1(kCumulativeTrapezoid, &attrs, {y.tensor}, y.where);
}
Tensor cumulative_trapezoid(Arg y, Arg x, int64_t axis) {
  const TrapezoidAttrs a{.axis = axis};
  return call1(kCumulativeTrapezoid, &a, {y.tensor, x.tensor}, y.where);
}

constinit const OpDef kHistogram = define({.name = "histogram",
                                           .inputs = {"x", "edges?", "weight?"},
                                           .outputs = {"counts", "limits"},
                                           .attrs = attrs_of<HistogramAttrs>(),
                                           .infer = infer_histogram,
                                           .flops = flops_per_input<16>,
                                           .compose = compose_histogram,
                                           .amp = Amp::kHigh,
                                           .no_grad = "gives counts",
                                           .doc = "Counts, or sums of weights, in bins."});
Histogram histogram(Arg x, HistogramAttrs attrs, const Tensor& edges, const Tensor& weight) {
  const Tensor in[] = {x.tensor, edges, weight};
  const TensorList y = call_n(kHistogram, &attrs, in, x.where);
  return {y[0], y[1]};
}

}  // namespace rutile::ops

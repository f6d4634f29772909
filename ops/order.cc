// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/order.h"

#include <cmath>
#include <limits>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/lines.h"
#include "rutile/ops/require.h"
#include "rutile/ops/special.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

Status check_real(const TensorMeta& x) {
  if (!is_complex(x.dtype)) return Status();
  return type_error(cat("complex numbers have no order, got ", x.dtype));
}

// x without dimension `axis` (as 1 with keepdims); axis -1: without any.
Shape without(const Shape& x, int axis, bool keepdims) {
  Shape y;
  for (int i = 0; i < x.rank(); ++i) {
    if (axis >= 0 && i != axis) {
      y.push_back(x[i]);
    } else if (keepdims) {
      y.push_back(1);
    }
  }
  return y;
}

// One axis, or -1 for none named.
Status one_axis(const Dims& axes, int rank, int* axis) {
  *axis = -1;
  if (axes.rank() > 1) return value_error(cat("takes one axis or none, got ", axes));
  if (axes.empty() || (rank == 0 && (axes[0] == 0 || axes[0] == -1))) return Status();
  return normalize_axis(axes[0], rank, axis);
}

Status infer_chosen(const TensorMeta& x, int axis, bool keepdims, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_real(x));
  const Shape shape = without(x.shape, axis, keepdims);
  const int64_t n = axis < 0 ? x.numel() : x.dim(axis);
  if (n == 0 && shape.numel() != 0) return value_error("has no value over no elements");
  out[0] = TensorMeta(shape, x.dtype, x.device);
  out[1] = TensorMeta(shape, DType::kI64, x.device);
  return Status();
}

Status infer_kthvalue(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<KthvalueAttrs>();
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  if (a.k < 1 || a.k > x.dim(axis)) {
    return value_error(
        cat("k is ", a.k, ", expects 1 to ", x.dim(axis), ", the size of axis ", axis));
  }
  return infer_chosen(x, axis, a.keepdims, out);
}
Status infer_median(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ArgAttrs>();
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(one_axis(a.axes, c.in(0).rank(), &axis));
  return infer_chosen(c.in(0), axis, a.keepdims, out);
}
Status infer_mode(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ModeAttrs>();
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, c.in(0).rank(), &axis));
  return infer_chosen(c.in(0), axis, a.keepdims, out);
}

// g at the places that were chosen along an axis (of all for -1).
GradResult put_back(GradCtx& c, int axis) {
  const TensorMeta& x = c.in_meta(0);
  if (!c.grad().defined()) return {Tensor()};
  if (axis < 0) {
    const Tensor zeros = broadcast_to(full({}, 0, x.dtype), {x.numel()});
    const Tensor flat = scatter_add(zeros, reshape(c.out(1), {1}), reshape(c.grad(), {1}), 0);
    return {reshape(flat, x.shape)};
  }
  const Shape line = without(x.shape, axis, false);
  Shape kept = x.shape;
  kept[axis] = 1;
  if (line.numel() == 0) kept[axis] = 0;  // nothing was chosen
  const Tensor places = reshape(c.out(1), kept), g = reshape(c.grad(), kept);
  return {scatter_add(broadcast_to(full({}, 0, x.dtype), x.shape), places, g, axis)};
}
int positive(int64_t axis, const TensorMeta& x) {
  int a = -1;
  if (x.rank() > 0) throw_if_error(normalize_axis(axis, x.rank(), &a));
  return a;
}
GradResult grad_kthvalue(GradCtx& c) {
  return put_back(c, positive(c.attrs<KthvalueAttrs>().axis, c.in_meta(0)));
}
GradResult grad_mode(GradCtx& c) {
  return put_back(c, positive(c.attrs<ModeAttrs>().axis, c.in_meta(0)));
}
GradResult grad_median(GradCtx& c) {
  const Dims& axes = c.attrs<ArgAttrs>().axes;
  return put_back(c, axes.empty() ? -1 : positive(axes[0], c.in_meta(0)));
}

// ---- Quantiles --------------------------------------------------------------------------------

Status infer_quantile(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<QuantileAttrs>();
  const TensorMeta &x = c.in(0), &q = c.in(1);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(one_axis(a.axes, x.rank(), &axis));
  if (!is_floating(x.dtype)) return type_error(cat("expects floats, got ", x.dtype));
  if (q.dtype != x.dtype) {
    return type_error(cat("expects inputs of one dtype, got ", x.dtype, " and ", q.dtype));
  }
  if (q.rank() > 1) return value_error(cat("q expects shape [] or [n], got ", q.shape));
  const Shape rest = without(x.shape, axis, a.keepdims);
  if ((axis < 0 ? x.numel() : x.dim(axis)) == 0)
    return value_error("has no value over no elements");
  if (rest.rank() + q.rank() > kMaxRank) return value_error("the result would have 9 dimensions");
  Shape shape;
  if (q.rank() == 1) shape.push_back(q.dim(0));
  for (const int64_t d : rest) shape.push_back(d);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

// Element `place` [rows, m] (whole numbers) of each line of `sorted` [rows, n].
Tensor pick(const Tensor& sorted, const Tensor& place) {
  const TakeAlongAttrs strict{1, false};
  return call1(kTakeAlongAxis, &strict, {sorted, cast(place, DType::kI64)});
}

// Lines [rows, n] and q [m] to [rows, m].
Tensor quantiles(const Tensor& lines, const Tensor& q, QuantileMode mode, bool leave_nan) {
  const int64_t rows = lines.dim(0), n = lines.dim(1);
  const Tensor sorted = sort(lines, 1).values;
  const Tensor nan = full({}, std::numeric_limits<double>::quiet_NaN(), lines.dtype());
  // NaNs stand last.
  const Tensor numbers =
      sum(cast(logical_not(isnan(lines)), DType::kI64), {.axes = {1}, .keepdims = true});
  const Tensor last = leave_nan ? maximum(numbers - 1, Scalar(int64_t{0}))
                                : full({rows, 1}, Scalar(n - 1), DType::kI64);
  const Tensor place = reshape(q, {1, q.numel()}) * cast(last, q.dtype());
  const Tensor low = floor(place), high = minimum(ceil(place), cast(last, q.dtype()));
  Tensor y;
  switch (mode) {
    case QuantileMode::kLower:
      y = pick(sorted, low);
      break;
    case QuantileMode::kHigher:
      y = pick(sorted, high);
      break;
    case QuantileMode::kNearest:
      y = pick(sorted, round(place));
      break;
    case QuantileMode::kMidpoint:
      y = lerp(pick(sorted, low), pick(sorted, high), full({}, 0.5, q.dtype()));
      break;
    case QuantileMode::kLinear:
      y = lerp(pick(sorted, low), pick(sorted, high), place - low);
  }
  const Tensor none = leave_nan ? equal(numbers, 0) : less(numbers, Scalar(n));
  return where(none, nan, y);
}

TensorList compose_quantiles(const void* attrs, In in, bool leave_nan) {
  const auto& a = *static_cast<const QuantileAttrs*>(attrs);
  const Tensor& x = in[0];
  const Tensor q = require_range(in[1], {.min = 0, .max = 1, .what = "q"});
  int axis = 0;
  throw_if_error(one_axis(a.axes, x.rank(), &axis));
  const Shape rest = without(x.shape(), axis, a.keepdims);
  const int64_t n = axis < 0 ? x.numel() : x.dim(axis), rows = x.numel() / n, m = q.numel();
  Tensor lines = x;
  if (axis >= 0) {
    Dims order;
    for (int i = 0; i < x.rank(); ++i) {
      if (i != axis) order.push_back(i);
    }
    order.push_back(axis);
    lines = permute(x, order);
  }
  const Tensor y =
      quantiles(wide(reshape(lines, {rows, n})), wide(reshape(q, {m})), a.interpolation, leave_nan);
  Shape shape;
  if (q.rank() == 1) shape.push_back(m);
  for (const int64_t d : rest) shape.push_back(d);
  return {cast(reshape(transpose(y), shape), x.dtype())};
}
TensorList compose_quantile(const void* attrs, In in) {
  return compose_quantiles(attrs, in, false);
}
TensorList compose_nanquantile(const void* attrs, In in) {
  return compose_quantiles(attrs, in, true);
}

// ---- Searching --------------------------------------------------------------------------------

Status check_pair(const TensorMeta& a, const TensorMeta& b) {
  RUTILE_RETURN_IF_ERROR(check_real(a));
  if (a.dtype == b.dtype) return Status();
  return type_error(cat("expects inputs of one dtype, got ", a.dtype, " and ", b.dtype));
}

Status infer_places(const TensorMeta& sorted, const TensorMeta& v, const SearchsortedAttrs& a,
                    TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_pair(sorted, v));
  bool fits = sorted.rank() == 1 || (sorted.rank() > 0 && sorted.rank() == v.rank());
  for (int i = 0; fits && sorted.rank() > 1 && i < v.rank() - 1; ++i) {
    fits = sorted.shape[i] == v.shape[i];
  }
  if (!fits) {
    return value_error(
        cat("the sorted lines ", sorted.shape, " do not go with values of shape ", v.shape));
  }
  *out = TensorMeta(v.shape, a.out_int32 ? DType::kI32 : DType::kI64, v.device);
  return Status();
}
Status infer_searchsorted(const CallMeta& c, TensorMeta* out) {
  return infer_places(c.in(0), c.in(1), c.as<SearchsortedAttrs>(), out);
}
Status infer_bucketize(const CallMeta& c, TensorMeta* out) {
  if (c.in(1).rank() != 1) {
    return value_error(cat("boundaries expects shape [n], got ", c.in(1).shape));
  }
  return infer_places(c.in(1), c.in(0), c.as<SearchsortedAttrs>(), out);
}
TensorList compose_bucketize(const void* attrs, In in) {
  return {call1(kSearchsorted, attrs, {in[1], in[0]})};
}

Status infer_isin(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_pair(c.in(0), c.in(1)));
  *out = TensorMeta(c.in(0).shape, DType::kBool, c.in(0).device);
  return Status();
}
TensorList compose_isin(const void* attrs, In in) {
  const bool invert = static_cast<const IsinAttrs*>(attrs)->invert;
  const Tensor& x = in[0];
  const int64_t n = in[1].numel();
  if (n == 0) return {full(x.shape(), invert, DType::kBool)};
  const Tensor line = sort(reshape(in[1], {n}), 0).values;
  const Tensor place = minimum(searchsorted(line, x), Scalar(n - 1));
  const Tensor found = gather(line, place, 0);
  return {invert ? not_equal(found, x) : equal(found, x)};
}

double search_flops(const CallMeta& c) {
  const TensorMeta& sorted = c.in(c.op == &kBucketize ? 1 : 0);
  const double n = sorted.rank() > 0 ? static_cast<double>(sorted.shape.back()) : 1;
  return elements(c.out()) * std::max(1.0, std::log2(std::max(n, 1.0)));
}
double sort_flops(const CallMeta& c) {
  return elements(c.in(0)) * std::max(1.0, std::log2(std::max(elements(c.in(0)), 1.0)));
}

ValuesIndices two(const OpDef& op, const void* attrs, Arg x) {
  const TensorList y = call_n(op, attrs, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

ValuesIndices extremum(const OpDef& arg, Arg x, int64_t axis, bool keepdims) {
  const int at = positive(axis, x.tensor.meta());
  const ArgAttrs a{{at}, true};
  const Tensor place = call1(arg, &a, {x.tensor}, x.where);
  const Tensor value = take_along_axis(x, place, at);
  if (keepdims) return {value, place};
  return {squeeze(value, {at}), squeeze(place, {at})};
}

}  // namespace

#define RUTILE_CHOICE(constant, op_name, Attrs, infer_fn, grad_fn, text)     \
  constinit const OpDef constant = define({.name = op_name,                  \
                                           .inputs = {"x"},                  \
                                           .outputs = {"values", "indices"}, \
                                           .attrs = attrs_of<Attrs>(),       \
                                           .infer = infer_fn,                \
                                           .flops = flops_per_input<3>,      \
                                           .grad = grad_fn,                  \
                                           .saves = {"indices"},             \
                                           .doc = text})
RUTILE_CHOICE(kKthvalue, "kthvalue", KthvalueAttrs, infer_lines<infer_kthvalue>, grad_kthvalue,
              "The k-th smallest element along an axis, and its place.");
RUTILE_CHOICE(kMedian, "median", ArgAttrs, infer_median, grad_median,
              "The middle element (the lower of two), and its place.");
RUTILE_CHOICE(kNanmedian, "nanmedian", ArgAttrs, infer_median, grad_median,
              "The middle element of those that are numbers, and its place.");
RUTILE_CHOICE(kMode, "mode", ModeAttrs, infer_lines<infer_mode>, grad_mode,
              "The most frequent element along an axis, and its last place.");

ValuesIndices kthvalue(Arg x, int64_t k, int64_t axis, bool keepdims) {
  const KthvalueAttrs a{k, axis, keepdims};
  return two(kKthvalue, &a, x);
}
ValuesIndices median(Arg x, ArgAttrs attrs) { return two(kMedian, &attrs, x); }
ValuesIndices nanmedian(Arg x, ArgAttrs attrs) { return two(kNanmedian, &attrs, x); }
ValuesIndices mode(Arg x, int64_t axis, bool keepdims) {
  const ModeAttrs a{axis, keepdims};
  return two(kMode, &a, x);
}
ValuesIndices max_with_index(Arg x, int64_t axis, bool keepdims) {
  return extremum(kArgmax, x, axis, keepdims);
}
ValuesIndices min_with_index(Arg x, int64_t axis, bool keepdims) {
  return extremum(kArgmin, x, axis, keepdims);
}

#define RUTILE_QUANTILE(constant, function, text)                              \
  constinit const OpDef constant = define({.name = #function,                  \
                                           .inputs = {"x", "q"},               \
                                           .attrs = attrs_of<QuantileAttrs>(), \
                                           .infer = infer_quantile,            \
                                           .flops = sort_flops,                \
                                           .compose = compose_##function,      \
                                           .amp = Amp::kHigh,                  \
                                           .checks_values = true,              \
                                           .doc = text});                      \
  Tensor function(Arg x, Arg q, QuantileAttrs attrs) {                         \
    return call1(constant, &attrs, {x.tensor, q.tensor}, x.where);             \
  }                                                                            \
  Tensor function(Arg x, double q, QuantileAttrs attrs) {                      \
    const Tensor at = Tensor::scalar(q, x.tensor.dtype());                     \
    return call1(constant, &attrs, {x.tensor, at}, x.where);                   \
  }
RUTILE_QUANTILE(kQuantile, quantile, "Quantiles q of each line, or of all elements.")
RUTILE_QUANTILE(kNanquantile, nanquantile, "Quantiles q of the elements that are numbers.")

constinit const OpDef kSearchsorted =
    define({.name = "searchsorted",
            .inputs = {"sorted", "values"},
            .attrs = attrs_of<SearchsortedAttrs>(),
            .infer = infer_searchsorted,
            .flops = search_flops,
            .promote = true,
            .no_grad = "gives integers",
            .doc = "Places of values in sorted lines that keep them sorted."});
Tensor searchsorted(Arg sorted, Arg values, SearchsortedAttrs attrs) {
  return call1(kSearchsorted, &attrs, {sorted.tensor, values.tensor}, sorted.where);
}
constinit const OpDef kBucketize =
    define({.name = "bucketize",
            .inputs = {"x", "boundaries"},
            .attrs = attrs_of<SearchsortedAttrs>(),
            .infer = infer_bucketize,
            .flops = search_flops,
            .compose = compose_bucketize,
            .promote = true,
            .no_grad = "gives integers",
            .doc = "The bucket between boundaries of each element."});
Tensor bucketize(Arg x, Arg boundaries, SearchsortedAttrs attrs) {
  return call1(kBucketize, &attrs, {x.tensor, boundaries.tensor}, x.where);
}

constinit const OpDef kIsin = define({.name = "isin",
                                      .inputs = {"x", "tests"},
                                      .attrs = attrs_of<IsinAttrs>(),
                                      .infer = infer_isin,
                                      .flops = sort_flops,
                                      .compose = compose_isin,
                                      .promote = true,
                                      .no_grad = "gives bool",
                                      .doc = "Is each element of x among those of tests."});
Tensor isin(Arg x, Arg tests, bool invert) {
  const IsinAttrs a{invert};
  return call1(kIsin, &a, {x.tensor, tests.tensor}, x.where);
}

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
// The ops of view.h that copy.
#include <algorithm>

#include "rutile/core/complex.h"
#include "rutile/core/element.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

// A fresh output that stays channels-last where x is.
Status place_like(const TensorMeta& x, const Shape& shape, TensorMeta* out) {
  const bool nhwc = x.rank() == shape.rank() && x.is_channels_last();
  return place(shape, x.dtype, x.device, {kStrided, nhwc}, out);
}

GradResult grad_same(GradCtx& ctx) { return {ctx.grad()}; }

}  // namespace

// ---- contiguous, reorder ------------------------------------------------------------------------

namespace {

Status infer_contiguous(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Status infer_reorder(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<ReorderAttrs>();
  const DType dtype = a.dtype.set ? a.dtype.value : x.dtype;
  if (dtype != x.dtype && !(is_floating(dtype) && is_floating(x.dtype))) {
    return type_error(cat("turns floating types into one another, not ", x.dtype, " into ", dtype));
  }
  return place(x.shape, dtype, x.device, a.to, out);
}

GradResult grad_reorder(GradCtx& ctx) { return {cast(ctx.grad(), ctx.in_meta(0).dtype)}; }

TensorList compose_reorder(const void* attrs, std::span<const Tensor> in) {
  const auto& a = *static_cast<const ReorderAttrs*>(attrs);
  const DType dtype = a.dtype.set ? a.dtype.value : in[0].dtype();
  return {reorder(dtype == in[0].dtype() ? in[0] : cast(in[0], dtype), a.to)};
}

}  // namespace

constinit const OpDef kContiguous = define({
    .name = "contiguous",
    .inputs = {"x"},
    .infer = infer_contiguous,
    .grad = grad_same,
    .zero_preserving = true,
    .doc = "A row-major copy of x, whatever its strides or layout.",
});

constinit const OpDef kReorder = define({
    .name = "reorder",
    .inputs = {"x"},
    .attrs = attrs_of<ReorderAttrs>(),
    .infer = infer_reorder,
    .grad = grad_reorder,
    .compose = compose_reorder,
    .zero_preserving = true,
    .doc =
        "The same values in another physical placement, and if asked another floating type; what "
        "a layout pads is zero.",
});

Tensor contiguous(Arg x) {
  if (x.tensor.meta().is_contiguous()) return x.tensor;
  return call1(kContiguous, nullptr, {x.tensor}, x.where);
}

Tensor reorder(Arg x, const Placement& to) {
  const ReorderAttrs a{to};
  return call1(kReorder, &a, {x.tensor}, x.where);
}

Tensor to_channels_last(Arg x) {
  return x.tensor.meta().is_channels_last() ? x.tensor : reorder(x, {kStrided, true});
}

// ---- concat -------------------------------------------------------------------------------------

namespace {

Status infer_concat(const CallMeta& c, TensorMeta* out) {
  if (c.num_inputs() == 0) return value_error("expects at least one tensor");
  const TensorMeta& first = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<ConcatAttrs>().axis, first.rank(), &axis));
  Shape shape = first.shape;
  bool nhwc = true;
  for (int i = 0; i < c.num_inputs(); ++i) {
    const TensorMeta& x = c.in(i);
    if (x.dtype != first.dtype) {
      return type_error(cat("expects one dtype, got ", first.dtype, " and ", x.dtype));
    }
    bool fits = x.rank() == first.rank();
    for (int d = 0; fits && d < shape.rank(); ++d) {
      fits = d == axis || x.shape[d] == first.shape[d];
    }
    if (!fits) {
      return value_error(cat("xs[", i, "] of shape ", x.shape, " does not join ", first.shape,
                             " along axis ", axis));
    }
    if (i > 0) shape[axis] += x.shape[axis];
    nhwc = nhwc && x.is_channels_last();
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  return place(shape, first.dtype, first.device, {kStrided, nhwc}, out);
}

GradResult grad_concat(GradCtx& ctx) {
  const int n = ctx.num_inputs();
  int axis = 0;
  throw_if_error(normalize_axis(ctx.attrs<ConcatAttrs>().axis, ctx.in_meta(0).rank(), &axis));
  std::vector<int64_t> sizes;
  for (int i = 0; i < n; ++i) sizes.push_back(ctx.in_meta(i).dim(axis));
  GradResult grads;
  for (const Tensor& part : split_sizes(ctx.grad(), sizes, axis)) grads.push_back(part);
  return grads;
}

}  // namespace

constinit const OpDef kConcat = define({
    .name = "concat",
    .inputs = {"xs*"},
    .attrs = attrs_of<ConcatAttrs>(),
    .infer = infer_concat,
    .grad = grad_concat,
    .amp = Amp::kPromote,
    .promote = true,
    .doc = "Joins tensors along an axis.",
});

Tensor concat(std::span<const Tensor> xs, int64_t axis, std::source_location where) {
  const ConcatAttrs a{axis};
  Tensor out;
  call(kConcat, &a, xs, {&out, 1}, where);
  return out;
}

Tensor stack(std::span<const Tensor> xs, int64_t axis, std::source_location where) {
  std::vector<Tensor> expanded;
  for (const Tensor& x : xs) {
    if (!(x.shape() == xs[0].shape())) {
      throw_error(ErrorCode::kValue,
                  cat("[stack] expects one shape, got ", xs[0].shape(), " and ", x.shape()));
    }
    expanded.push_back(expand_dims(Arg(x, where), axis));
  }
  if (axis < 0 && !xs.empty()) axis += xs[0].rank() + 1;
  return concat(expanded, axis, where);
}

// ---- pad ----------------------------------------------------------------------------------------

namespace {

Status check_pad(const PadAttrs& a, const Shape& inner) {
  const int rank = inner.rank();
  if (a.before.rank() != rank || a.after.rank() != rank) {
    return value_error(cat("before ", a.before, " and after ", a.after, " need ", rank,
                           " entries each, one per dimension"));
  }
  for (int d = 0; d < rank; ++d) {
    const int64_t b = a.before[d], e = a.after[d], n = inner[d];
    if (b < 0 || e < 0) {
      return value_error(
          cat("widths must not be negative, got before ", a.before, ", after ", a.after));
    }
    const int64_t most = std::max(b, e);
    const int64_t limit = a.mode == PadMode::kReflect    ? n - 1
                          : a.mode == PadMode::kCircular ? n
                          : n == 0 && a.mode == PadMode::kReplicate
                              ? 0
                              : std::numeric_limits<int64_t>::max();
    if (most > 0 && most > limit) {
      return value_error(cat(EnumNames<PadMode>::value[static_cast<int>(a.mode)],
                             " padding of dimension ", d, " (size ", n, ") is at most ",
                             std::max<int64_t>(limit, 0), ", got ", most));
    }
  }
  return Status();
}

Status infer_pad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<PadAttrs>();
  RUTILE_RETURN_IF_ERROR(check_pad(a, x.shape));
  char element[16];
  RUTILE_RETURN_IF_ERROR(store_scalar(a.value, x.dtype, element));
  Shape shape = x.shape;
  for (int d = 0; d < x.rank(); ++d) {
    // Each term is checked first, so that no sum overflows.
    int64_t numel = 0;
    RUTILE_RETURN_IF_ERROR(checked_numel({a.before[d]}, &numel));
    RUTILE_RETURN_IF_ERROR(checked_numel({a.after[d]}, &numel));
    shape[d] += a.before[d] + a.after[d];
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  return place_like(x, shape, out);
}

GradResult grad_pad(GradCtx& ctx) {
  const auto& a = ctx.attrs<PadAttrs>();
  if (a.mode != PadMode::kConstant) return {call1(kPadGrad, &a, {ctx.grad()})};
  Dims ends = a.before;
  for (int d = 0; d < ends.rank(); ++d) ends[d] += ctx.in_meta(0).dim(d);
  return {slice(ctx.grad(), a.before, ends)};
}

Status infer_pad_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& g = c.in(0);
  const auto& a = c.as<PadAttrs>();
  Shape shape = g.shape;
  if (a.before.rank() != g.rank() || a.after.rank() != g.rank()) return check_pad(a, g.shape);
  for (int d = 0; d < g.rank(); ++d) {
    if (a.before[d] < 0 || a.after[d] < 0 || a.before[d] > g.shape[d] ||
        a.after[d] > g.shape[d] - a.before[d]) {
      return value_error(
          cat("x of shape ", g.shape, " has no padding of before ", a.before, ", after ", a.after));
    }
    shape[d] = g.shape[d] - a.before[d] - a.after[d];
  }
  if (!is_differentiable(g.dtype)) {
    return type_error(cat("expects a floating dtype, got ", g.dtype));
  }
  if (is_complex(g.dtype) && g.rank() == kMaxRank) {
    return value_error("takes complex numbers in up to 7 dimensions");
  }
  RUTILE_RETURN_IF_ERROR(check_pad(a, shape));
  return place_like(g, shape, out);
}

GradResult grad_pad_grad(GradCtx& ctx) {
  PadAttrs a = ctx.attrs<PadAttrs>();
  a.value = 0;
  return {call1(kPad, &a, {ctx.grad()})};
}

}  // namespace

constinit const OpDef kPad = define({
    .name = "pad",
    .inputs = {"x"},
    .attrs = attrs_of<PadAttrs>(),
    .infer = infer_pad,
    .grad = grad_pad,
    .doc =
        "Adds elements around each dimension: a constant, or the border reflected, replicated or "
        "wrapped around.",
});

constinit const OpDef kPadGrad = define({
    .name = "pad_grad",
    .inputs = {"grad"},
    .attrs = attrs_of<PadAttrs>(),
    .infer = infer_pad_grad,
    .grad = grad_pad_grad,
    .doc = "Gradient of pad: every padded element is added to the one it was taken from.",
});

Tensor pad(Arg x, const Dims& before, const Dims& after, PadMode mode, Scalar value) {
  const PadAttrs a{before, after, mode, value};
  return call1(kPad, &a, {x.tensor}, x.where);
}

// ---- flip, roll, tile ---------------------------------------------------------------------------

namespace {

Status infer_flip(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  uint32_t seen = 0;
  for (const int64_t axis : c.as<FlipAttrs>().axes) {
    int d = 0;
    RUTILE_RETURN_IF_ERROR(normalize_axis(axis, x.rank(), &d));
    if (seen >> d & 1u) return value_error(cat("axis ", axis, " is given twice"));
    seen |= 1u << d;
  }
  return place_like(x, x.shape, out);
}

GradResult grad_flip(GradCtx& ctx) { return {call1(kFlip, ctx.raw_attrs(), {ctx.grad()})}; }

// x seen as [before, 1, after] and repeated in the middle.
Tensor repeat_at(Arg x, int64_t before, int64_t after, int64_t n, const Shape& result) {
  const Tensor middle = reshape(x, {before, 1, after});
  return reshape(Arg(broadcast_to(Arg(middle, x.where), {before, n, after}), x.where), result);
}

}  // namespace

constinit const OpDef kFlip = define({
    .name = "flip",
    .inputs = {"x"},
    .attrs = attrs_of<FlipAttrs>(),
    .infer = infer_flip,
    .grad = grad_flip,
    .doc = "Reverses the order of the elements along the given axes (all if none are given).",
});

Tensor flip(Arg x, const Dims& axes) {
  const FlipAttrs a{axes};
  return call1(kFlip, &a, {x.tensor}, x.where);
}

Tensor roll(Arg x, int64_t shift, int64_t axis) {
  int d = 0;
  throw_if_error(normalize_axis(axis, x.tensor.rank(), &d));
  const int64_t n = x.tensor.dim(d);
  if (n == 0 || shift % n == 0) return x.tensor;
  const int64_t first = n - (shift % n + n) % n;  // what comes first afterwards
  return concat({{slice_axis(x, d, first, kEnd), slice_axis(x, d, 0, first)}}, d, x.where);
}

Tensor tile(Arg x, const Dims& repeats) {
  Dims r = repeats;
  Shape shape = x.tensor.shape();
  while (r.rank() < shape.rank()) {  // ones in front
    Dims longer{1};
    for (const int64_t n : r) longer.push_back(n);
    r = longer;
  }
  while (shape.rank() < r.rank()) {
    Dims longer{1};
    for (const int64_t n : shape) longer.push_back(n);
    shape = longer;
  }
  Tensor y = reshape(x, shape);
  for (int d = r.rank() - 1; d >= 0; --d) {
    if (r[d] < 0) {
      throw_error(ErrorCode::kValue, cat("[tile] repeats ", repeats, " must not be negative"));
    }
    if (r[d] == 1) continue;
    const int64_t before = product(shape, 0, d), after = product(shape, d, shape.rank());
    int64_t total = 0;
    throw_if_error(checked_numel({before, after, r[d]}, &total));
    shape[d] *= r[d];
    y = repeat_at(Arg(y, x.where), before, after, r[d], shape);
  }
  return y;
}

Tensor repeat_interleave(Arg x, int64_t n, int64_t axis) {
  Shape shape = x.tensor.shape();
  int d = 0;
  throw_if_error(normalize_axis(axis, shape.rank(), &d));
  const int64_t before = product(shape, 0, d + 1), after = product(shape, d + 1, shape.rank());
  int64_t total = 0;
  throw_if_error(checked_numel({before, after, n}, &total));
  shape[d] *= n;
  return repeat_at(x, before, after, n, shape);
}

// ---- tril, triu ---------------------------------------------------------------------------------

namespace {

Status infer_triangle(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  if (x.rank() < 2) return value_error(cat("expects at least rank 2, got ", x.shape));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

GradResult grad_triangle(GradCtx& ctx) { return {call1(ctx.op(), ctx.raw_attrs(), {ctx.grad()})}; }

}  // namespace

constinit const OpDef kTril = define({
    .name = "tril",
    .inputs = {"x"},
    .attrs = attrs_of<TriangleAttrs>(),
    .infer = infer_triangle,
    .grad = grad_triangle,
    .doc = "Zeros above the given diagonal of the last two dimensions.",
});

constinit const OpDef kTriu = define({
    .name = "triu",
    .inputs = {"x"},
    .attrs = attrs_of<TriangleAttrs>(),
    .infer = infer_triangle,
    .grad = grad_triangle,
    .doc = "Zeros below the given diagonal of the last two dimensions.",
});

Tensor tril(Arg x, int64_t diagonal) {
  const TriangleAttrs a{diagonal};
  return call1(kTril, &a, {x.tensor}, x.where);
}

Tensor triu(Arg x, int64_t diagonal) {
  const TriangleAttrs a{diagonal};
  return call1(kTriu, &a, {x.tensor}, x.where);
}

}  // namespace rutile::ops

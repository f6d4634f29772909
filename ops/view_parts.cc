// SPDX-License-Identifier: Apache-2.0
// Parts of a tensor: slices and splits.
#include <algorithm>

#include "rutile/ops/index.h"
#include "rutile/ops/view.h"
#include "rutile/ops/view_meta.h"

namespace rutile::ops {
namespace {

constexpr int64_t kMaxParts = 1 << 16;

}  // namespace

// ---- slice --------------------------------------------------------------------------------------

namespace {

struct Range {
  int64_t start = 0, count = 0, step = 1;
};

// Python's slice(start, end, step).indices(n) for a positive step.
Range clamp_range(int64_t start, int64_t end, int64_t step, int64_t n) {
  if (start < 0) start += n;
  if (end < 0) end += n;
  start = std::clamp<int64_t>(start, 0, n);
  end = std::clamp<int64_t>(end, 0, n);
  return {start, end > start ? (end - start - 1) / step + 1 : 0, step};
}

// The same for a negative step, as the ascending range of the same elements.
Range clamp_reversed(int64_t start, int64_t end, int64_t step, int64_t n) {
  if (start < 0) start += n;
  if (end < 0) end += n;
  start = std::clamp<int64_t>(start, -1, n - 1);
  end = std::clamp<int64_t>(end, -1, n - 1);
  step = -std::max(step, -kEnd);
  if (start <= end) return {0, 0, 1};
  const int64_t count = (start - end - 1) / step + 1;
  return {start - (count - 1) * step, count, count > 1 ? step : 1};
}

Status check_slice(int rank, const Dims& starts, const Dims& ends, const Dims& steps) {
  if (starts.rank() != ends.rank() || (!steps.empty() && steps.rank() != starts.rank())) {
    return value_error(
        cat("starts ", starts, ", ends ", ends, " and steps ", steps, " differ in length"));
  }
  if (starts.rank() > rank) {
    return value_error(cat("slices ", starts.rank(), " dimensions, x has ", rank));
  }
  for (const int64_t s : steps) {
    if (s <= 0) return value_error(cat("expects positive steps, got ", steps));
  }
  return Status();
}

Range range_of(const SliceAttrs& a, int d, int64_t n) {
  if (d >= a.starts.rank()) return {0, n, 1};
  return clamp_range(a.starts[d], a.ends[d], a.steps.empty() ? 1 : a.steps[d], n);
}

Status infer_slice(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<SliceAttrs>();
  RUTILE_RETURN_IF_ERROR(check_slice(x.rank(), a.starts, a.ends, a.steps));
  if (x.layout != kStrided) return no_view(x, "of a part");
  Shape shape;
  Strides strides;
  for (int d = 0; d < x.rank(); ++d) {
    const Range r = range_of(a, d, x.shape[d]);
    shape.push_back(r.count);
    strides.push_back(r.count > 1 ? x.strides[d] * r.step : x.strides[d]);
  }
  *out = view_meta(x, shape, strides);
  return Status();
}

int64_t slice_offset(const CallMeta& c, int) {
  const TensorMeta& x = c.in(0);
  int64_t offset = 0;
  for (int d = 0; d < x.rank(); ++d) {
    const Range r = range_of(c.as<SliceAttrs>(), d, x.shape[d]);
    if (r.count == 0) return 0;
    offset += r.start * x.strides[d];
  }
  return offset;
}

GradResult grad_slice(GradCtx& ctx) {
  const auto& s = ctx.attrs<SliceAttrs>();
  const SliceGradAttrs a{ctx.in_meta(0).shape, s.starts, s.ends, s.steps};
  return {call1(kSliceGrad, &a, {ctx.grad()})};
}

Status infer_slice_grad(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SliceGradAttrs>();
  const TensorMeta& g = c.in(0);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(a.shape, &numel));
  RUTILE_RETURN_IF_ERROR(check_slice(a.shape.rank(), a.starts, a.ends, a.steps));
  const SliceAttrs s{a.starts, a.ends, a.steps};
  Shape part;
  for (int d = 0; d < a.shape.rank(); ++d) part.push_back(range_of(s, d, a.shape[d]).count);
  if (!(part == g.shape)) {
    return value_error(cat("the slice of ", a.shape, " is ", part, ", x is ", g.shape));
  }
  return place(a.shape, g.dtype, g.device, {kStrided, g.is_channels_last()}, out);
}

GradResult grad_slice_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<SliceGradAttrs>();
  return {slice(ctx.grad(), a.starts, a.ends, a.steps)};
}

}  // namespace

constinit const OpDef kSlice = define({
    .name = "slice",
    .inputs = {"x"},
    .attrs = attrs_of<SliceAttrs>(),
    .infer = infer_slice,
    .grad = grad_slice,
    .alias_of = {"x"},
    .view_offset = slice_offset,
    .doc = "x[starts:ends:steps] over the leading dimensions; ranges are clamped as in Python.",
});

constinit const OpDef kSliceGrad = define({
    .name = "slice_grad",
    .inputs = {"x"},
    .attrs = attrs_of<SliceGradAttrs>(),
    .infer = infer_slice_grad,
    .grad = grad_slice_grad,
    .doc = "Zeros of the given shape with x in the place that the slice takes: slice's gradient.",
});

Tensor slice(Arg x, const Dims& starts, const Dims& ends, const Dims& steps) {
  SliceAttrs a{starts, ends, steps};
  Dims reversed;
  const Shape& s = x.tensor.shape();
  const bool sane = starts.rank() == ends.rank() && starts.rank() == steps.rank();
  for (int d = 0; sane && d < steps.rank() && d < s.rank(); ++d) {
    if (steps[d] >= 0) continue;
    const Range r = clamp_reversed(starts[d], ends[d], steps[d], s[d]);
    a.starts[d] = r.start;
    a.ends[d] = r.count ? r.start + (r.count - 1) * r.step + 1 : r.start;
    a.steps[d] = r.step;
    reversed.push_back(d);
  }
  Tensor y = call1(kSlice, &a, {x.tensor}, x.where);
  return reversed.empty() ? y : flip(Arg(y, x.where), reversed);
}

Tensor slice_axis(Arg x, int64_t axis, int64_t start, int64_t end, int64_t step) {
  const int rank = x.tensor.rank();
  int d = 0;
  throw_if_error(normalize_axis(axis, rank, &d));
  Dims starts = Dims::filled(d + 1, 0), ends = Dims::filled(d + 1, kEnd);
  Dims steps = Dims::filled(d + 1, 1);
  starts[d] = start;
  ends[d] = end;
  steps[d] = step;
  return slice(x, starts, ends, steps);
}

Tensor select(Arg x, int64_t axis, int64_t index) {
  const Shape& s = x.tensor.shape();
  int d = 0;
  throw_if_error(normalize_axis(axis, s.rank(), &d));
  if (index < -s[d] || index >= s[d]) {
    throw_error(ErrorCode::kIndex,
                cat("[select] index ", index, " is out of range for axis ", axis, " of ", s));
  }
  if (index < 0) index += s[d];
  return squeeze(Arg(slice_axis(x, d, index, index + 1), x.where), {d});
}

// ---- split --------------------------------------------------------------------------------------

namespace {

int count_parts(const CallMeta& c) {
  const auto& a = c.as<SplitAttrs>();
  if (!a.sizes.empty()) return a.sizes.rank();
  return a.sections >= 1 && a.sections <= kMaxParts ? static_cast<int>(a.sections) : -1;
}

int64_t part_size(const SplitAttrs& a, int64_t n, int i) {
  return a.sizes.empty() ? n / a.sections : a.sizes[i];
}

Status infer_split(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<SplitAttrs>();
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  const int64_t n = x.shape[axis];
  if (a.sizes.empty() && n % a.sections != 0) {
    return value_error(
        cat("axis ", axis, " of size ", n, " does not split into ", a.sections, " equal parts"));
  }
  int64_t left = n;
  for (const int64_t s : a.sizes) {
    if (s < 0 || s > left) {
      return value_error(cat("sizes ", a.sizes, " do not sum to ", n, ", the size of axis ", axis));
    }
    left -= s;
  }
  if (!a.sizes.empty() && left != 0) {
    return value_error(cat("sizes ", a.sizes, " do not sum to ", n, ", the size of axis ", axis));
  }
  if (x.layout != kStrided) return no_view(x, "of its parts");
  const int parts = count_parts(c);
  for (int i = 0; i < parts; ++i) {
    Shape shape = x.shape;
    shape[axis] = part_size(a, n, i);
    out[i] = view_meta(x, shape, x.strides);
  }
  return Status();
}

int64_t split_offset(const CallMeta& c, int part) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<SplitAttrs>();
  int axis = 0;
  if (x.numel() == 0 || !normalize_axis(a.axis, x.rank(), &axis).ok()) return 0;
  int64_t before = 0;
  for (int i = 0; i < part; ++i) before += part_size(a, x.shape[axis], i);
  return before < x.shape[axis] ? before * x.strides[axis] : 0;
}

GradResult grad_split(GradCtx& ctx) {
  const auto& a = ctx.attrs<SplitAttrs>();
  const TensorMeta& x = ctx.in_meta(0);
  int axis = 0;
  throw_if_error(normalize_axis(a.axis, x.rank(), &axis));
  std::vector<Tensor> parts;
  for (int i = 0; i < ctx.num_outputs(); ++i) {
    if (ctx.grad(i).defined()) {
      parts.push_back(ctx.grad(i));
      continue;
    }
    Shape shape = x.shape;
    shape[axis] = part_size(a, x.shape[axis], i);
    parts.push_back(full(shape, 0, x.dtype));
  }
  return {concat(parts, axis)};
}

}  // namespace

constinit const OpDef kSplit = define({
    .name = "split",
    .inputs = {"x"},
    .outputs = {"ys*"},
    .attrs = attrs_of<SplitAttrs>(),
    .infer = infer_split,
    .count_outputs = count_parts,
    .grad = grad_split,
    .alias_of = {"x"},
    .view_offset = split_offset,
    .doc = "Parts of x along an axis: `sections` equal ones, or parts of the given sizes.",
});

std::vector<Tensor> split(Arg x, int64_t sections, int64_t axis) {
  const SplitAttrs a{{}, sections, axis};
  const TensorList parts = call_n(kSplit, &a, {&x.tensor, 1}, x.where);
  return {parts.begin(), parts.end()};
}

std::vector<Tensor> split_sizes(Arg x, std::span<const int64_t> sizes, int64_t axis) {
  if (!sizes.empty() && sizes.size() <= kMaxRank) {
    const SplitAttrs a{Dims(sizes), 1, axis};
    const TensorList parts = call_n(kSplit, &a, {&x.tensor, 1}, x.where);
    return {parts.begin(), parts.end()};
  }
  int d = 0;
  throw_if_error(normalize_axis(axis, x.tensor.rank(), &d));
  std::vector<Tensor> parts;
  int64_t at = 0;
  const int64_t n = x.tensor.dim(d);
  for (const int64_t s : sizes) {
    if (s < 0 || s > n - at) break;
    parts.push_back(slice_axis(x, d, at, at + s));
    at += s;
  }
  if (at != n || parts.size() != sizes.size()) {
    throw_error(ErrorCode::kValue, cat("[split] the sizes do not sum to ", n, ", the size of axis ",
                                       axis, " of ", x.tensor.meta()));
  }
  return parts;
}

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/view.h"

#include <algorithm>

#include "rutile/ops/index.h"

namespace rutile::ops {
namespace {

constexpr int64_t kMaxParts = 1 << 16;

Status no_view(const TensorMeta& x, const char* what) {
  return Status(ErrorCode::kUnsupported,
                cat("x ", x, " has no view ", what, "; make it contiguous first"));
}

TensorMeta view_meta(const TensorMeta& x, const Shape& shape, const Strides& strides) {
  TensorMeta m(shape, x.dtype, x.device);
  m.strides = strides;
  return m;
}

int64_t at_start(const CallMeta&, int) { return 0; }

}  // namespace

// ---- reshape ------------------------------------------------------------------------------------

namespace {

// Replaces a -1 in `wanted` and checks the number of elements.
Status resolve_shape(const Shape& from, const Shape& wanted, Shape* out) {
  *out = wanted;
  int open = -1;
  for (int i = 0; i < wanted.rank(); ++i) {
    if (wanted[i] == -1) {
      if (open >= 0) return value_error(cat("shape ", wanted, " has more than one -1"));
      open = i;
      (*out)[i] = 1;
    } else if (wanted[i] < 0) {
      return value_error(cat("dimension ", i, " of shape ", wanted, " is negative"));
    }
  }
  int64_t known = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(*out, &known));
  const int64_t have = from.numel();
  if (open >= 0) {
    if (known == 0 || have % known != 0) {
      return value_error(cat("cannot reshape ", from, " (", have, " elements) to ", wanted));
    }
    (*out)[open] = have / known;
  } else if (known != have) {
    return value_error(cat("cannot reshape ", from, " (", have, " elements) to ", wanted, " (",
                           known, " elements)"));
  }
  return Status();
}

Status infer_reshape(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  Shape shape;
  RUTILE_RETURN_IF_ERROR(resolve_shape(x.shape, c.as<ReshapeAttrs>().shape, &shape));
  Strides strides;
  if (!viewable_as(x, shape, &strides)) return no_view(x, to_string(shape).c_str());
  *out = view_meta(x, shape, strides);
  return Status();
}

GradResult grad_reshape(GradCtx& ctx) { return {reshape(ctx.grad(), ctx.in_meta(0).shape)}; }

}  // namespace

constinit const OpDef kReshape = define({
    .name = "reshape",
    .inputs = {"x"},
    .attrs = attrs_of<ReshapeAttrs>(),
    .infer = infer_reshape,
    .grad = grad_reshape,
    .alias_of = {"x"},
    .view_offset = at_start,
    .doc = "The elements of x in row-major order as another shape; one entry may be -1.",
});

bool viewable_as(const TensorMeta& x, const Shape& shape, Strides* strides) {
  if (x.layout != kStrided) return false;
  *strides = contiguous_strides(shape);
  if (x.rank() == 0 || x.numel() == 0 || x.is_contiguous()) return true;
  // Runs of dimensions of x that lie in memory as one, from the fastest; each must be a product of
  // whole dimensions of the new shape.
  int to = shape.rank() - 1;
  int64_t run_stride = x.strides.back(), run = 1, covered = 1;
  for (int d = x.rank() - 1; d >= 0; --d) {
    run *= x.shape[d];
    if (d > 0 && (x.shape[d - 1] == 1 || x.strides[d - 1] == run * run_stride)) continue;
    while (to >= 0 && (covered < run || shape[to] == 1)) {
      (*strides)[to] = covered * run_stride;
      covered *= shape[to--];
    }
    if (covered != run) return false;
    if (d > 0) run_stride = x.strides[d - 1];
    run = covered = 1;
  }
  return to < 0;
}

Tensor reshape(Arg x, const Shape& shape) {
  const ReshapeAttrs a{shape};
  Shape resolved;
  Strides strides;
  // The copy that call() would make without telling the tape is cheaper recorded: one op less per
  // gradient of the gradient, and a failed view costs no error text.
  if (resolve_shape(x.tensor.shape(), shape, &resolved).ok() &&
      !viewable_as(x.tensor.meta(), resolved, &strides)) {
    return call1(kReshape, &a, {contiguous(x)}, x.where);
  }
  return call1(kReshape, &a, {x.tensor}, x.where);
}

Tensor flatten(Arg x, int64_t first, int64_t last) {
  const Shape& s = x.tensor.shape();
  if (s.rank() == 0) return reshape(x, {1});
  int a = 0, b = 0;
  throw_if_error(normalize_axis(first, s.rank(), &a));
  throw_if_error(normalize_axis(last, s.rank(), &b));
  if (a > b) {
    throw_error(ErrorCode::kValue,
                cat("[flatten] first axis ", first, " lies behind the last axis ", last));
  }
  Shape shape;
  for (int i = 0; i < s.rank(); ++i) {
    if (i > a && i <= b) {
      shape[a] *= s[i];
    } else {
      shape.push_back(s[i]);
    }
  }
  return reshape(x, shape);
}

Tensor squeeze(Arg x, const Dims& axes) {
  const Shape& s = x.tensor.shape();
  bool drop[kMaxRank] = {};
  for (int i = 0; axes.empty() && i < s.rank(); ++i) drop[i] = s[i] == 1;
  for (const int64_t axis : axes) {
    int d = 0;
    throw_if_error(normalize_axis(axis, s.rank(), &d));
    if (s[d] != 1) {
      throw_error(ErrorCode::kValue,
                  cat("[squeeze] axis ", axis, " of ", s, " has size ", s[d], ", expects 1"));
    }
    drop[d] = true;
  }
  Shape shape;
  for (int i = 0; i < s.rank(); ++i) {
    if (!drop[i]) shape.push_back(s[i]);
  }
  return reshape(x, shape);
}

Tensor expand_dims(Arg x, int64_t axis) {
  const Shape& s = x.tensor.shape();
  int d = 0;
  throw_if_error(normalize_axis(axis, s.rank() + 1, &d));
  Shape shape;
  for (int i = 0; i <= s.rank(); ++i) {
    if (i == d) shape.push_back(1);
    if (i < s.rank()) shape.push_back(s[i]);
  }
  return reshape(x, shape);
}

// ---- transpose ----------------------------------------------------------------------------------

namespace {

Status resolve_perm(const Dims& wanted, int rank, Dims* perm) {
  *perm = Dims();
  if (wanted.empty()) {
    for (int i = rank - 1; i >= 0; --i) perm->push_back(i);
    return Status();
  }
  if (wanted.rank() != rank) {
    return value_error(cat("perm ", wanted, " has ", wanted.rank(), " entries, x has rank ", rank));
  }
  uint32_t seen = 0;
  for (const int64_t p : wanted) {
    int d = 0;
    RUTILE_RETURN_IF_ERROR(normalize_axis(p, rank, &d));
    if (seen >> d & 1u) return value_error(cat("perm ", wanted, " names axis ", d, " twice"));
    seen |= 1u << d;
    perm->push_back(d);
  }
  return Status();
}

Status infer_transpose(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  Dims perm;
  RUTILE_RETURN_IF_ERROR(resolve_perm(c.as<TransposeAttrs>().perm, x.rank(), &perm));
  if (x.layout != kStrided) return no_view(x, "with its axes permuted");
  Shape shape;
  Strides strides;
  for (const int64_t p : perm) {
    shape.push_back(x.shape[static_cast<int>(p)]);
    strides.push_back(x.strides[static_cast<int>(p)]);
  }
  *out = view_meta(x, shape, strides);
  return Status();
}

GradResult grad_transpose(GradCtx& ctx) {
  Dims perm;
  throw_if_error(resolve_perm(ctx.attrs<TransposeAttrs>().perm, ctx.in_meta(0).rank(), &perm));
  Dims inverse = perm;
  for (int i = 0; i < perm.rank(); ++i) inverse[static_cast<int>(perm[i])] = i;
  return {transpose(ctx.grad(), inverse)};
}

}  // namespace

constinit const OpDef kTranspose = define({
    .name = "transpose",
    .inputs = {"x"},
    .attrs = attrs_of<TransposeAttrs>(),
    .infer = infer_transpose,
    .grad = grad_transpose,
    .alias_of = {"x"},
    .view_offset = at_start,
    .doc =
        "Dimension i of the result is dimension perm[i] of x; without perm the order is reversed.",
});

Tensor transpose(Arg x, const Dims& perm) {
  const TransposeAttrs a{perm};
  return call1(kTranspose, &a, {x.tensor}, x.where);
}

Tensor permute(Arg x, const Dims& perm) { return transpose(x, perm); }

Tensor swapaxes(Arg x, int64_t a, int64_t b) {
  const int rank = x.tensor.rank();
  int i = 0, j = 0;
  throw_if_error(normalize_axis(a, rank, &i));
  throw_if_error(normalize_axis(b, rank, &j));
  Dims perm;
  for (int d = 0; d < rank; ++d) perm.push_back(d);
  std::swap(perm[i], perm[j]);
  return transpose(x, perm);
}

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

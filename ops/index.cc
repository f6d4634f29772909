// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/index.h"

#include <algorithm>
#include <cmath>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/lines.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

Status check_index(const TensorMeta& index) {
  if (index.dtype == DType::kI32 || index.dtype == DType::kI64) return Status();
  return type_error(cat("expects indices of i32 or i64, got ", index.dtype));
}

constexpr const char kNoGradIntegers[] = "its result does not depend on a floating input";

}  // namespace

// ---- One-hot ------------------------------------------------------------------------------------

namespace {

Status infer_one_hot(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<OneHotAttrs>();
  const TensorMeta& ids = c.in(0);
  RUTILE_RETURN_IF_ERROR(check_index(ids));
  if (is_complex(a.dtype)) return type_error(cat("expects a real dtype, got ", a.dtype));
  if (a.depth < 1) return value_error(cat("expects a positive depth, got ", a.depth));
  if (ids.rank() == kMaxRank) return value_error("expects at most rank 7");
  Shape shape = ids.shape;
  shape.push_back(a.depth);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, a.dtype, ids.device);
  return Status();
}

}  // namespace

constinit const OpDef kOneHot = define({
    .name = "one_hot",
    .inputs = {"ids"},
    .attrs = attrs_of<OneHotAttrs>(),
    .infer = infer_one_hot,
    .checks_values = true,
    .no_grad = kNoGradIntegers,
    .doc = "A new last dimension of size depth with a one at the index.",
});

Tensor one_hot(Arg ids, int64_t depth, DType dtype) {
  const OneHotAttrs a{depth, dtype};
  return call1(kOneHot, &a, {ids.tensor}, ids.where);
}

// ---- Rows ---------------------------------------------------------------------------------------

namespace {

// x with `axis` replaced by the index's dimensions.
Status gathered_shape(const Shape& x, int axis, const Shape& index, Shape* out) {
  if (x.rank() - 1 + index.rank() > kMaxRank) {
    return value_error(cat("the result would have ", x.rank() - 1 + index.rank(),
                           " dimensions, at most ", kMaxRank, " are possible"));
  }
  *out = Shape();
  for (int i = 0; i < axis; ++i) out->push_back(x[i]);
  for (const int64_t d : index) out->push_back(d);
  for (int i = axis + 1; i < x.rank(); ++i) out->push_back(x[i]);
  return Status();
}

Status infer_embedding(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &ids = c.in(0), &table = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_index(ids));
  if (table.rank() != 2) {
    return value_error(cat("table expects shape [rows, width], got ", table.shape));
  }
  const int64_t pad = c.as<EmbeddingAttrs>().padding_idx;
  if (pad < -1 || pad >= table.dim(0)) {
    return value_error(cat("padding_idx ", pad, " is no row of a table with ", table.dim(0)));
  }
  Shape shape;
  RUTILE_RETURN_IF_ERROR(gathered_shape(table.shape, 0, ids.shape, &shape));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, table.dtype, table.device);
  return Status();
}

GradResult grad_embedding(GradCtx& ctx) {
  const TensorMeta& table = ctx.in_meta(1);
  EmbeddingGradAttrs a{table.dim(0), ctx.attrs<EmbeddingAttrs>().padding_idx, {}};
  if (is_low_precision(table.dtype)) a.out_dtype = DType::kF32;
  return {Tensor(), call1(kEmbeddingGrad, &a, {ctx.grad(), ctx.in(0)})};
}

Status infer_embedding_grad(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &g = c.in(0), &ids = c.in(1);
  const auto& a = c.as<EmbeddingGradAttrs>();
  RUTILE_RETURN_IF_ERROR(check_index(ids));
  bool fits = g.rank() == ids.rank() + 1;
  for (int i = 0; fits && i < ids.rank(); ++i) fits = g.shape[i] == ids.shape[i];
  if (!fits) return value_error(cat("grad expects ids' shape and a width, got ", g.shape));
  const DType dtype = a.out_dtype.set ? a.out_dtype.value : g.dtype;
  if (!is_floating(g.dtype) || !is_floating(dtype)) {
    return type_error(cat("expects floating dtypes, got ", g.dtype, " to ", dtype));
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({a.rows, g.shape.back()}, &numel));
  *out = TensorMeta({a.rows, g.shape.back()}, dtype, g.device);
  return Status();
}

GradResult grad_embedding_grad(GradCtx& ctx) {
  const auto& a = ctx.attrs<EmbeddingGradAttrs>();
  const Tensor& ids = ctx.in(1);
  Tensor rows = embedding(ids, ctx.grad());
  if (a.padding_idx >= 0) {
    const Tensor kept = expand_dims(not_equal(ids, Scalar(a.padding_idx)), -1);
    rows = where(kept, rows, full({}, 0, rows.dtype()));
  }
  return {cast(rows, ctx.in_meta(0).dtype), Tensor()};
}

Status infer_gather(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_index(index));
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<GatherAttrs>().axis, x.rank(), &axis));
  Shape shape;
  RUTILE_RETURN_IF_ERROR(gathered_shape(x.shape, axis, index.shape, &shape));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

GradResult grad_gather(GradCtx& ctx) {
  const TensorMeta& x = ctx.in_meta(0);
  if (x.rank() == 0) return {reshape(sum(ctx.grad()), {}), Tensor()};
  int axis = 0;
  throw_if_error(normalize_axis(ctx.attrs<GatherAttrs>().axis, x.rank(), &axis));
  const IndexAddAttrs a{axis, x.dim(axis)};
  return {call1(kIndexAdd, &a, {ctx.grad(), ctx.in(1)}), Tensor()};
}

Status check_summable(const TensorMeta& x) {
  if (x.dtype == DType::kBool) return type_error(cat("expects numbers, got ", x.dtype));
  if (!is_complex(x.dtype) || x.rank() < kMaxRank) return Status();
  return value_error("takes complex numbers in up to 7 dimensions");
}

Status infer_index_add(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1);
  const auto& a = c.as<IndexAddAttrs>();
  RUTILE_RETURN_IF_ERROR(check_index(index));
  const int tail = x.rank() - index.rank();  // dimensions of x beside the index's
  bool fits = a.axis >= 0 && a.axis <= tail;
  for (int i = 0; fits && i < index.rank(); ++i) {
    fits = x.shape[static_cast<int>(a.axis) + i] == index.shape[i];
  }
  if (!fits) {
    return value_error(cat("expects index's shape ", index.shape, " from axis ", a.axis,
                           " on in x, got ", x.shape));
  }
  RUTILE_RETURN_IF_ERROR(check_summable(x));
  const int axis = static_cast<int>(a.axis);
  if (tail == kMaxRank) return value_error("the result would have more than 8 dimensions");
  Shape shape;
  for (int i = 0; i < axis; ++i) shape.push_back(x.shape[i]);
  shape.push_back(a.size);
  for (int i = axis + index.rank(); i < x.rank(); ++i) shape.push_back(x.shape[i]);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}

GradResult grad_index_add(GradCtx& ctx) {
  return {gather(ctx.grad(), ctx.in(1), ctx.attrs<IndexAddAttrs>().axis), Tensor()};
}

}  // namespace

constinit const OpDef kEmbedding = define({
    .name = "embedding",
    .inputs = {"ids", "table"},
    .attrs = attrs_of<EmbeddingAttrs>(),
    .infer = infer_embedding,
    .bytes = bytes_of_lookup<1>,
    .grad = grad_embedding,
    .saves = {"ids"},
    .checks_values = true,
    .doc = "Rows of a table by index.",
});

constinit const OpDef kEmbeddingGrad = define({
    .name = "embedding_grad",
    .inputs = {"grad", "ids"},
    .attrs = attrs_of<EmbeddingGradAttrs>(),
    .infer = infer_embedding_grad,
    .flops = flops_per_input<1>,
    .grad = grad_embedding_grad,
    .saves = {"ids"},
    .checks_values = true,
    .doc = "Gradient of embedding's table: each row is the sum of the gradients of its uses.",
});

constinit const OpDef kGather = define({
    .name = "gather",
    .inputs = {"x", "index"},
    .attrs = attrs_of<GatherAttrs>(),
    .infer = infer_lines<infer_gather>,
    .bytes = bytes_of_lookup<0>,
    .grad = grad_gather,
    .saves = {"index"},
    .checks_values = true,
    .doc = "Slices of x along an axis by index; the index's shape replaces the axis.",
});

constinit const OpDef kIndexAdd = define({
    .name = "index_add",
    .inputs = {"x", "index"},
    .attrs = attrs_of<IndexAddAttrs>(),
    .infer = infer_index_add,
    .flops = flops_per_input<1>,
    .grad = grad_index_add,
    .saves = {"index"},
    .checks_values = true,
    .doc = "Zeros with slices of x added at the indices along an axis: gather's gradient.",
});

Tensor embedding(Arg ids, Arg table, EmbeddingAttrs a) {
  return call1(kEmbedding, &a, {ids.tensor, table.tensor}, ids.where);
}

Tensor gather(Arg x, Arg index, int64_t axis) {
  const GatherAttrs a{axis};
  return call1(kGather, &a, {x.tensor, index.tensor}, x.where);
}
Tensor index_add(Arg x, Arg index, int64_t axis, int64_t size) {
  const IndexAddAttrs a{axis, size};
  return call1(kIndexAdd, &a, {x.tensor, index.tensor}, x.where);
}
Tensor take(Arg x, Arg index, int64_t axis) { return gather(x, index, axis); }

// ---- Elements -----------------------------------------------------------------------------------

namespace {

Status check_elements(const TensorMeta& x, const TensorMeta& index, int64_t wanted, int* axis) {
  RUTILE_RETURN_IF_ERROR(check_index(index));
  RUTILE_RETURN_IF_ERROR(normalize_axis(wanted, x.rank(), axis));
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == *axis || index.shape[i] <= x.shape[i];
  if (fits) return Status();
  return value_error(cat("index of shape ", index.shape, " does not fit x of shape ", x.shape,
                         " beside axis ", *axis));
}

Status infer_take_along_axis(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(check_elements(x, index, c.as<TakeAlongAttrs>().axis, &axis));
  *out = TensorMeta(index.shape, x.dtype, x.device);
  return Status();
}

GradResult grad_take_along_axis(GradCtx& ctx) {
  const TensorMeta& x = ctx.in_meta(0);
  const auto& a = ctx.attrs<TakeAlongAttrs>();
  const Tensor zero = broadcast_to(full({}, 0, x.dtype), x.shape);
  return {call1(kScatterAdd, &a, {zero, ctx.in(1), ctx.grad()}), Tensor()};
}

Status infer_scatter_add(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1), &src = c.in(2);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(check_elements(x, index, c.as<TakeAlongAttrs>().axis, &axis));
  if (!(src.shape == index.shape)) {
    return value_error(cat("src expects index's shape ", index.shape, ", got ", src.shape));
  }
  if (src.dtype != x.dtype) {
    return type_error(cat("src expects x's dtype ", x.dtype, ", got ", src.dtype));
  }
  RUTILE_RETURN_IF_ERROR(check_summable(x));
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

GradResult grad_scatter_add(GradCtx& ctx) {
  GradResult grads{ctx.grad(), Tensor(), Tensor()};
  if (ctx.needs(2)) grads[2] = call1(kTakeAlongAxis, ctx.raw_attrs(), {ctx.grad(), ctx.in(1)});
  return grads;
}

}  // namespace

constinit const OpDef kTakeAlongAxis = define({
    .name = "take_along_axis",
    .inputs = {"x", "index"},
    .attrs = attrs_of<TakeAlongAttrs>(),
    .infer = infer_lines<infer_take_along_axis>,
    .bytes = bytes_of_lookup<0>,
    .grad = grad_take_along_axis,
    .saves = {"index"},
    .checks_values = true,
    .doc = "Elements of x along an axis, one for each element of the index.",
});

constinit const OpDef kScatterAdd = define({
    .name = "scatter_add",
    .inputs = {"x", "index", "src"},
    .attrs = attrs_of<TakeAlongAttrs>(),
    .infer = infer_lines<infer_scatter_add>,
    .flops = flops_per_input<1, 2>,
    .grad = grad_scatter_add,
    .saves = {"index"},
    .checks_values = true,
    .doc = "x with each element of src added where the index points along an axis.",
});

Tensor take_along_axis(Arg x, Arg index, int64_t axis) {
  const TakeAlongAttrs a{axis};
  return call1(kTakeAlongAxis, &a, {x.tensor, index.tensor}, x.where);
}
Tensor gather_elements(Arg x, Arg index, int64_t axis) { return take_along_axis(x, index, axis); }

Tensor scatter_add(Arg x, Arg index, Arg src, int64_t axis) {
  const TakeAlongAttrs a{axis};
  return call1(kScatterAdd, &a, {x.tensor, index.tensor, src.tensor}, x.where);
}

Tensor masked_fill(Arg x, Arg mask, Scalar value) {
  return where(mask, Arg(full({}, value, x.tensor.dtype(), x.where), x.where), x);
}

// ---- Order --------------------------------------------------------------------------------------

namespace {

Status check_sortable(DType t) {
  if (!is_complex(t)) return Status();
  return type_error(cat("complex numbers have no order, got ", t));
}

Status infer_topk(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  const auto& a = c.as<TopkAttrs>();
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  RUTILE_RETURN_IF_ERROR(check_sortable(x.dtype));
  if (a.k < 0 || a.k > x.shape[axis]) {
    return value_error(
        cat("k is ", a.k, ", expects 0 to ", x.shape[axis], ", the size of axis ", axis));
  }
  Shape shape = x.shape;
  shape[axis] = a.k;
  out[0] = TensorMeta(shape, x.dtype, x.device);
  out[1] = TensorMeta(shape, DType::kI64, x.device);
  return Status();
}

Status infer_sort(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<SortAttrs>().axis, x.rank(), &axis));
  RUTILE_RETURN_IF_ERROR(check_sortable(x.dtype));
  out[0] = TensorMeta(x.shape, x.dtype, x.device);
  out[1] = TensorMeta(x.shape, DType::kI64, x.device);
  return Status();
}

GradResult scatter_back(GradCtx& ctx, int64_t axis) {
  const TensorMeta& x = ctx.in_meta(0);
  if (!ctx.grad().defined()) return {Tensor()};
  return {scatter_add(broadcast_to(full({}, 0, x.dtype), x.shape), ctx.out(1), ctx.grad(), axis)};
}

GradResult grad_topk(GradCtx& ctx) { return scatter_back(ctx, ctx.attrs<TopkAttrs>().axis); }
GradResult grad_sort(GradCtx& ctx) { return scatter_back(ctx, ctx.attrs<SortAttrs>().axis); }

Status infer_nonzero(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  out[0] = TensorMeta({x.numel(), x.rank()}, DType::kI64, x.device);
  out[1] = TensorMeta({}, DType::kI64, x.device);
  return Status();
}

// A comparison for each halving of a row.
double sort_flops(const CallMeta& c) {
  const TensorMeta& x = c.in(0);
  const int64_t axis = c.op == &kSort ? c.as<SortAttrs>().axis : c.as<TopkAttrs>().axis;
  const double n =
      x.rank() ? static_cast<double>(x.dim(static_cast<int>(axis < 0 ? axis + x.rank() : axis)))
               : 1;
  return elements(x) * std::max(1.0, std::log2(n));
}

}  // namespace

constinit const OpDef kTopk = define({
    .name = "topk",
    .inputs = {"x"},
    .outputs = {"values", "indices"},
    .attrs = attrs_of<TopkAttrs>(),
    .infer = infer_lines<infer_topk>,
    .flops = sort_flops,
    .grad = grad_topk,
    .saves = {"indices"},
    .doc = "The k largest or smallest elements along an axis, and their positions.",
});

constinit const OpDef kSort = define({
    .name = "sort",
    .inputs = {"x"},
    .outputs = {"values", "indices"},
    .attrs = attrs_of<SortAttrs>(),
    .infer = infer_lines<infer_sort>,
    .flops = sort_flops,
    .grad = grad_sort,
    .saves = {"indices"},
    .doc = "Sorts along an axis (stable), and says where each element came from.",
});

constinit const OpDef kNonzero = define({
    .name = "nonzero",
    .inputs = {"x"},
    .outputs = {"positions", "count"},
    .infer = infer_nonzero,
    .flops = flops_per_input<1>,
    .no_grad = kNoGradIntegers,
    .doc = "Positions of the elements that are not zero, `count` rows; the rows after them are -1.",
});

ValuesIndices topk(Arg x, int64_t k, int64_t axis, bool largest) {
  const TopkAttrs a{k, axis, largest};
  const TensorList y = call_n(kTopk, &a, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

ValuesIndices sort(Arg x, int64_t axis, bool descending) {
  const SortAttrs a{axis, descending};
  const TensorList y = call_n(kSort, &a, {&x.tensor, 1}, x.where);
  return {y[0], y[1]};
}

Tensor argsort(Arg x, int64_t axis, bool descending) { return sort(x, axis, descending).indices; }

Tensor nonzero(Arg x) {
  const TensorList y = call_n(kNonzero, nullptr, {&x.tensor, 1}, x.where);
  return slice(Arg(y[0], x.where), {0}, {y[1].item<int64_t>()});
}

}  // namespace rutile::ops

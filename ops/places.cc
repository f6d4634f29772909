// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/places.h"

#include <algorithm>
#include <limits>

#include "rutile/ops/cost.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/index.h"
#include "rutile/ops/order.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/scatter.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::ops {
namespace {

using In = std::span<const Tensor>;

Status like_x(const CallMeta& c, TensorMeta* out) {
  *out = TensorMeta(c.in(0).shape, c.in(0).dtype, c.in(0).device);
  return Status();
}
Status same_dtype(const TensorMeta& x, const TensorMeta& src) {
  if (src.dtype == x.dtype) return Status();
  return type_error(cat("src expects x's dtype ", x.dtype, ", got ", src.dtype));
}
Status check_indices(const TensorMeta& index) {
  if (index.dtype == DType::kI32 || index.dtype == DType::kI64) return Status();
  return type_error(cat("index expects i32 or i64, got ", index.dtype));
}
Status check_numbers(DType t) {
  if (is_floating(t) || is_integral(t)) return Status();
  return type_error(cat("expects real numbers, got ", t));
}
int at_axis(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

// ---- scatter_reduce, index_reduce ---------------------------------------------------------------

Status infer_scatter_reduce(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1), &src = c.in(2);
  RUTILE_RETURN_IF_ERROR(check_indices(index));
  RUTILE_RETURN_IF_ERROR(same_dtype(x, src));
  RUTILE_RETURN_IF_ERROR(check_numbers(x.dtype));
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(
      normalize_axis(c.as<ScatterReduceAttrs>().axis, std::max(x.rank(), 1), &axis));
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == axis || index.shape[i] <= x.shape[i];
  if (!fits || !(src.shape == index.shape)) {
    return value_error(cat("index ", index.shape, " and src ", src.shape, " do not fit x ", x.shape,
                           " along axis ", axis));
  }
  return like_x(c, out);
}
Status infer_index_reduce(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1), &src = c.in(2);
  RUTILE_RETURN_IF_ERROR(check_indices(index));
  RUTILE_RETURN_IF_ERROR(same_dtype(x, src));
  RUTILE_RETURN_IF_ERROR(check_numbers(x.dtype));
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<ScatterReduceAttrs>().axis, x.rank(), &axis));
  if (index.rank() != 1) return value_error(cat("index expects rank 1, got ", index.shape));
  Shape shape = x.shape;
  shape[axis] = index.dim(0);
  if (!(src.shape == shape)) {
    return value_error(cat("src expects shape ", shape, ", got ", src.shape));
  }
  return like_x(c, out);
}

// What changes nothing: 0, 1 or the end of the type's range.
Scalar neutral(IndexReduce reduce, DType t) {
  if (reduce == IndexReduce::kProd) return 1;
  if (reduce == IndexReduce::kSum || reduce == IndexReduce::kMean) return 0;
  const bool max = reduce == IndexReduce::kAmax;
  if (is_floating(t)) {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    return max ? -kInf : kInf;
  }
  const int bits = 8 * static_cast<int>(dtype_size(t));
  if (!is_signed_int(t)) return max ? int64_t{0} : (int64_t{1} << bits) - 1;
  const int64_t top = INT64_MAX >> (64 - bits);
  return max ? -top - 1 : top;
}
Tensor reduce_at(const Tensor& x, const Tensor& index, const Tensor& src, int64_t axis,
                 const ScatterReduceAttrs& a) {
  constexpr ScatterReduce kHow[] = {ScatterReduce::kAdd, ScatterReduce::kMul, ScatterReduce::kAdd,
                                    ScatterReduce::kMax, ScatterReduce::kMin};
  const ScatterReduce how = kHow[static_cast<int>(a.reduce)];
  Tensor base = x;
  if (!a.include_self && x.dtype() == DType::kU64 && a.reduce == IndexReduce::kAmin) {
    base = scatter(x, index, src, axis);  // no Scalar holds the largest number; one of them does
  } else if (!a.include_self) {
    base = scatter(x, index, neutral(a.reduce, x.dtype()), axis);
  }
  const Tensor y = scatter(base, index, src, axis, how);
  if (a.reduce != IndexReduce::kMean) return y;
  const Tensor ones = full(x.shape(), 1, x.dtype());
  const Tensor start = a.include_self ? ones : scatter(ones, index, 0, axis);
  const Tensor count = scatter(start, index, full(src.shape(), 1, x.dtype()), axis, how);
  return is_floating(x.dtype()) ? y / count : floor_div(y, count);
}
TensorList compose_scatter_reduce(const void* attrs, In in) {
  const auto& a = *static_cast<const ScatterReduceAttrs*>(attrs);
  const DType t = in[0].dtype();
  return {cast(reduce_at(wide(in[0]), in[1], wide(in[2]), a.axis, a), t)};
}
TensorList compose_index_reduce(const void* attrs, In in) {
  const auto& a = *static_cast<const ScatterReduceAttrs*>(attrs);
  const DType t = in[0].dtype();
  const int axis = at_axis(a.axis, in[0].rank());
  Shape line = Shape::filled(in[0].rank(), 1);
  line[axis] = in[1].dim(0);
  const Tensor index = broadcast_to(reshape(in[1], line), in[2].shape());
  return {cast(reduce_at(wide(in[0]), index, wide(in[2]), axis, a), t)};
}

// ---- Parts replaced -----------------------------------------------------------------------------

Status infer_put(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1), &src = c.in(2);
  RUTILE_RETURN_IF_ERROR(check_indices(index));
  RUTILE_RETURN_IF_ERROR(same_dtype(x, src));
  if (index.numel() != src.numel()) {
    return value_error(cat("src expects ", index.numel(), " elements, got shape ", src.shape));
  }
  if (c.as<PutAttrs>().accumulate && x.dtype == DType::kBool) {
    return type_error("adds numbers, got bool");
  }
  return like_x(c, out);
}
TensorList compose_put(const void* attrs, In in) {
  const bool add = static_cast<const PutAttrs*>(attrs)->accumulate;
  const Tensor x = reshape(in[0], {in[0].numel()});
  const Tensor index = reshape(in[1], {in[1].numel()}), src = reshape(in[2], {in[2].numel()});
  const Tensor y = add ? scatter_add(x, index, src, 0) : scatter(x, index, src, 0);
  return {reshape(y, in[0].shape())};
}

Status expect_part(const CallMeta& c, const Shape& shape, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &src = c.in(1);
  RUTILE_RETURN_IF_ERROR(same_dtype(x, src));
  if (!(src.shape == shape)) {
    return value_error(cat("src expects shape ", shape, ", got ", src.shape));
  }
  return like_x(c, out);
}
Status infer_select_scatter(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SelectScatterAttrs>();
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  if (a.index < -x.dim(axis) || a.index >= x.dim(axis)) {
    return index_error(cat("index ", a.index, " is out of range for size ", x.dim(axis)));
  }
  Shape shape;
  for (int i = 0; i < x.rank(); ++i) {
    if (i != axis) shape.push_back(x.dim(i));
  }
  return expect_part(c, shape, out);
}
// First place and number of places.
void limits(const SliceScatterAttrs& a, int64_t n, int64_t* first, int64_t* count) {
  auto inside = [n](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + n : v, 0, n); };
  *first = inside(a.start);
  const int64_t end = inside(a.end);
  *count = end > *first ? (end - *first - 1) / a.step + 1 : 0;
}
Status infer_slice_scatter(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<SliceScatterAttrs>();
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  if (a.step < 1) return value_error(cat("expects step >= 1, got ", a.step));
  Shape shape = x.shape;
  int64_t first = 0;
  limits(a, x.dim(axis), &first, &shape[axis]);
  return expect_part(c, shape, out);
}
Status infer_diagonal_scatter(const CallMeta& c, TensorMeta* out) {
  TensorMeta x(c.in(0).shape, c.in(0).dtype, c.in(0).device), part;
  const TensorMeta* px = &x;
  RUTILE_RETURN_IF_ERROR(kDiagonal.infer(CallMeta{&kDiagonal, c.attrs, {&px, 1}, {}}, &part));
  return expect_part(c, part.shape, out);
}
// The slices first, first + step, .. along the axis become those of src.
Tensor replace(const Tensor& x, const Tensor& src, int axis, int64_t first, int64_t count,
               int64_t step) {
  if (src.numel() == 0) return x;
  const Tensor places = arange(first, first + (count - 1) * step + 1, step);
  return index_copy(x, places, src, axis);
}
TensorList compose_select_scatter(const void* attrs, In in) {
  const auto& a = *static_cast<const SelectScatterAttrs*>(attrs);
  const int axis = at_axis(a.axis, in[0].rank());
  const int64_t at = a.index < 0 ? a.index + in[0].dim(axis) : a.index;
  return {contiguous(replace(in[0], expand_dims(in[1], axis), axis, at, 1, 1))};
}
TensorList compose_slice_scatter(const void* attrs, In in) {
  const auto& a = *static_cast<const SliceScatterAttrs*>(attrs);
  const int axis = at_axis(a.axis, in[0].rank());
  int64_t first = 0, count = 0;
  limits(a, in[0].dim(axis), &first, &count);
  return {contiguous(replace(in[0], in[1], axis, first, count, a.step))};
}
// The matrices as lines, in which a diagonal is every (columns + 1)-th element.
TensorList compose_diagonal_scatter(const void* attrs, In in) {
  const auto& a = *static_cast<const DiagonalAttrs*>(attrs);
  const Tensor& src = in[1];
  if (src.numel() == 0) return {contiguous(in[0])};
  const Tensor x = movedim(in[0], {a.axis1, a.axis2}, {-2, -1});
  const int64_t rows = x.dim(x.rank() - 2), columns = x.dim(x.rank() - 1);
  Shape lines = x.shape();
  lines.pop_back();
  lines[lines.rank() - 1] = rows * columns;
  const int64_t first = a.offset >= 0 ? a.offset : -a.offset * columns;
  const Tensor y =
      replace(reshape(x, lines), src, lines.rank() - 1, first, src.shape().back(), columns + 1);
  return {contiguous(movedim(reshape(y, x.shape()), {-2, -1}, {a.axis1, a.axis2}))};
}

// ---- unravel_index ------------------------------------------------------------------------------

Status infer_unravel_index(const CallMeta& c, TensorMeta* out) {
  const Shape& shape = c.as<UnravelIndexAttrs>().shape;
  const TensorMeta& index = c.in(0);
  if (!is_integral(index.dtype)) {
    return type_error(cat("index expects integers, got ", index.dtype));
  }
  if (shape.rank() == 0) return value_error("shape expects at least one dimension");
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  for (int i = 0; i < shape.rank(); ++i) {
    out[i] = TensorMeta(index.shape, DType::kI64, index.device);
  }
  return Status();
}
int count_unravel_index(const CallMeta& c) { return c.as<UnravelIndexAttrs>().shape.rank(); }
// A position outside is refused by the lookup in all positions' first coordinate.
TensorList compose_unravel_index(const void* attrs, In in) {
  const Shape& shape = static_cast<const UnravelIndexAttrs*>(attrs)->shape;
  TensorList out;
  Tensor rest = cast(in[0], DType::kI64);
  int64_t inner = 1;
  for (int i = 1; i < shape.rank(); ++i) inner *= shape[i];
  const Tensor first = floor_div(rest, std::max<int64_t>(inner, 1));
  const TakeAlongAttrs strict{0, false};
  const Tensor flat = reshape(first, {first.numel()});
  const Tensor checked = call1(kTakeAlongAxis, &strict, {arange(0, shape[0]), flat});
  out.push_back(reshape(checked, first.shape()));
  for (int i = 1; i < shape.rank(); ++i) {
    rest = remainder(rest, std::max<int64_t>(inner, 1));
    inner = shape[i] > 0 ? inner / shape[i] : 0;
    out.push_back(floor_div(rest, std::max<int64_t>(inner, 1)));
  }
  return out;
}

// ---- embedding_bag ------------------------------------------------------------------------------

Status infer_embedding_bag(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<EmbeddingBagAttrs>();
  const TensorMeta &ids = c.in(0), &table = c.in(1);
  RUTILE_RETURN_IF_ERROR(check_indices(ids));
  if (table.rank() != 2) return value_error(cat("table expects shape [n,d], got ", table.shape));
  if (!is_floating(table.dtype)) {
    return type_error(cat("table expects floats, got ", table.dtype));
  }
  if (a.padding_idx >= table.dim(0)) {
    return index_error(cat("padding_idx ", a.padding_idx, " is out of range of ", table.dim(0)));
  }
  int64_t bags = 0;
  if (ids.rank() == 2) {
    if (c.has(2)) return value_error("offsets go with ids of rank 1 only");
    bags = ids.dim(0);
  } else if (ids.rank() == 1) {
    if (!c.has(2)) return value_error("ids of rank 1 need offsets");
    RUTILE_RETURN_IF_ERROR(check_indices(c.in(2)));
    if (c.in(2).rank() != 1) {
      return value_error(cat("offsets expects rank 1, got ", c.in(2).shape));
    }
    bags = c.in(2).dim(0) - (a.include_last_offset ? 1 : 0);
    if (bags < 0) return value_error("offsets expects an end");
    if (c.in(2).dtype != ids.dtype) {
      return type_error(cat("offsets expects ids' dtype ", ids.dtype, ", got ", c.in(2).dtype));
    }
  } else {
    return value_error(cat("ids expects shape [b,k] or [k], got ", ids.shape));
  }
  if (c.has(3)) {
    const TensorMeta& w = c.in(3);
    if (a.mode != BagMode::kSum) return value_error("weights go with mode sum only");
    if (!(w.shape == ids.shape)) {
      return value_error(cat("weights expects shape ", ids.shape, ", got ", w.shape));
    }
    if (w.dtype != table.dtype) {
      return type_error(cat("weights expects ", table.dtype, ", got ", w.dtype));
    }
  }
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel({bags, table.dim(1)}, &numel));
  *out = TensorMeta({bags, table.dim(1)}, table.dtype, table.device);
  return Status();
}

TensorList compose_embedding_bag(const void* attrs, In in) {
  const auto& a = *static_cast<const EmbeddingBagAttrs*>(attrs);
  const Tensor &ids = in[0], &table = in[1];
  const Tensor offsets = operand(in, 2), weights = operand(in, 3);
  const int64_t k = ids.numel(), d = table.dim(1);
  const int64_t bags =
      offsets.defined() ? offsets.dim(0) - (a.include_last_offset ? 1 : 0) : ids.dim(0);
  if (k == 0 || bags == 0 || d == 0) {
    // Keeps the table in the graph: its gradient is zeros.
    return {full({bags, d}, 0, table.dtype()) + sum(slice_axis(table, 0, 0, 0))};
  }
  Tensor bag;  // of each id
  if (offsets.defined()) {
    const Tensor starts = cast(slice_axis(offsets, 0, 0, bags), DType::kI64);
    bag = searchsorted(starts, arange(0, k), {.right = true}) - 1;
  } else {
    bag = repeat_interleave(arange(0, bags), ids.dim(1), 0);
  }
  const Tensor flat = reshape(ids, {k});
  Tensor rows = wide(embedding(flat, table));
  const DType t = rows.dtype();
  if (weights.defined()) rows = rows * expand_dims(wide(reshape(weights, {k})), 1);
  const Tensor kept =
      a.padding_idx >= 0 ? not_equal(flat, Scalar(a.padding_idx)) : full({k}, true, DType::kBool);
  Tensor counts = index_add(cast(kept, t), bag, 0, bags);
  counts = expand_dims(counts, 1);
  const Tensor column = expand_dims(kept, 1);
  if (a.mode == BagMode::kMax) {
    const double low = -std::numeric_limits<double>::infinity();
    const Tensor index = broadcast_to(expand_dims(bag, 1), {k, d});
    const Tensor y =
        scatter(full({bags, d}, low, t), index, where(column, rows, low), 0, ScatterReduce::kMax);
    return {cast(where(equal(counts, 0.0), 0.0, y), table.dtype())};
  }
  Tensor y = index_add(where(column, rows, 0.0), bag, 0, bags);
  if (a.mode == BagMode::kMean) y = y / maximum(counts, 1.0);
  return {cast(y, table.dtype())};
}
double bag_flops(const CallMeta& c) {
  return c.in(1).rank() == 2 ? 2 * elements(c.in(0)) * static_cast<double>(c.in(1).dim(1)) : 0;
}

}  // namespace

#define RUTILE_AT_PLACES(constant, function, Attrs, text)                   \
  constinit const OpDef constant = define({.name = #function,               \
                                           .inputs = {"x", "index", "src"}, \
                                           .attrs = attrs_of<Attrs>(),      \
                                           .infer = infer_##function,       \
                                           .flops = flops_per_input<1, 2>,  \
                                           .compose = compose_##function,   \
                                           .checks_values = true,           \
                                           .doc = text});
RUTILE_AT_PLACES(kScatterReduce, scatter_reduce, ScatterReduceAttrs,
                 "x with what src brings to each element combined.")
RUTILE_AT_PLACES(kIndexReduce, index_reduce, ScatterReduceAttrs,
                 "x with what src brings to each slice combined.")
RUTILE_AT_PLACES(kPut, put, PutAttrs, "x with elements set, by their row-major positions.")
Tensor scatter_reduce(Arg x, Arg index, Arg src, ScatterReduceAttrs attrs) {
  return call1(kScatterReduce, &attrs, {x.tensor, index.tensor, src.tensor}, x.where);
}
Tensor index_reduce(Arg x, Arg index, Arg src, ScatterReduceAttrs attrs) {
  return call1(kIndexReduce, &attrs, {x.tensor, index.tensor, src.tensor}, x.where);
}
Tensor put(Arg x, Arg index, Arg src, bool accumulate) {
  const PutAttrs a{accumulate};
  return call1(kPut, &a, {x.tensor, index.tensor, src.tensor}, x.where);
}

#define RUTILE_PART(constant, function, Attrs, text)                       \
  constinit const OpDef constant = define({.name = #function,              \
                                           .inputs = {"x", "src"},         \
                                           .attrs = attrs_of<Attrs>(),     \
                                           .infer = infer_##function,      \
                                           .flops = flops_per_input<1, 1>, \
                                           .compose = compose_##function,  \
                                           .doc = text});
RUTILE_PART(kSelectScatter, select_scatter, SelectScatterAttrs, "x with one slice replaced.")
RUTILE_PART(kSliceScatter, slice_scatter, SliceScatterAttrs, "x with slices replaced.")
RUTILE_PART(kDiagonalScatter, diagonal_scatter, DiagonalAttrs, "x with a diagonal replaced.")
Tensor select_scatter(Arg x, Arg src, int64_t axis, int64_t index) {
  const SelectScatterAttrs a{axis, index};
  return call1(kSelectScatter, &a, {x.tensor, src.tensor}, x.where);
}
Tensor slice_scatter(Arg x, Arg src, SliceScatterAttrs attrs) {
  return call1(kSliceScatter, &attrs, {x.tensor, src.tensor}, x.where);
}
Tensor diagonal_scatter(Arg x, Arg src, DiagonalAttrs attrs) {
  return call1(kDiagonalScatter, &attrs, {x.tensor, src.tensor}, x.where);
}

constinit const OpDef kUnravelIndex = define({.name = "unravel_index",
                                              .inputs = {"index"},
                                              .outputs = {"coordinates*"},
                                              .attrs = attrs_of<UnravelIndexAttrs>(),
                                              .infer = infer_unravel_index,
                                              .flops = flops_per_output<2>,
                                              .count_outputs = count_unravel_index,
                                              .compose = compose_unravel_index,
                                              .checks_values = true,
                                              .no_grad = "gives integers",
                                              .doc = "Coordinates of row-major positions."});
std::vector<Tensor> unravel_index(Arg index, const Shape& shape) {
  const UnravelIndexAttrs a{shape};
  const TensorList y = call_n(kUnravelIndex, &a, {&index.tensor, 1}, index.where);
  return {y.begin(), y.end()};
}

constinit const OpDef kEmbeddingBag =
    define({.name = "embedding_bag",
            .inputs = {"ids", "table", "offsets?", "weights?"},
            .attrs = attrs_of<EmbeddingBagAttrs>(),
            .infer = infer_embedding_bag,
            .flops = bag_flops,
            .compose = compose_embedding_bag,
            .checks_values = true,
            .doc = "Sums, means or maxima of bags of rows of a table."});
Tensor embedding_bag(Arg ids, Arg table, EmbeddingBagAttrs attrs, const Tensor& offsets,
                     const Tensor& weights) {
  return call1(kEmbeddingBag, &attrs, {ids.tensor, table.tensor, offsets, weights}, ids.where);
}

}  // namespace rutile::ops

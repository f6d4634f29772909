// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/scatter.h"

#include <algorithm>

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

Status check_index(const TensorMeta& index) {
  if (index.dtype == DType::kI32 || index.dtype == DType::kI64) return Status();
  return type_error(cat("expects indices of i32 or i64, got ", index.dtype));
}
Status check_combined(const TensorMeta& x, const TensorMeta& src, ScatterReduce reduce) {
  if (src.dtype != x.dtype) {
    return type_error(cat("what comes in expects x's dtype ", x.dtype, ", got ", src.dtype));
  }
  if (reduce == ScatterReduce::kNone) return Status();
  if (x.dtype == DType::kBool || is_complex(x.dtype)) {
    return type_error(cat("expects a real number type, got ", x.dtype));
  }
  return Status();
}
// Complex numbers are added as pairs.
Status check_added(const TensorMeta& x, const TensorMeta& src, ScatterReduce reduce) {
  if (reduce != ScatterReduce::kAdd || !is_complex(x.dtype) || src.dtype != x.dtype) {
    return check_combined(x, src, reduce);
  }
  if (x.rank() < kMaxRank && src.rank() < kMaxRank) return Status();
  return value_error("takes complex numbers in up to 7 dimensions");
}
Status infer_like_x(const TensorMeta& x, TensorMeta* out) {
  *out = TensorMeta(x.shape, x.dtype, x.device);
  return Status();
}

Status infer_scatter(const CallMeta& c, TensorMeta* out) {
  const auto& a = c.as<ScatterAttrs>();
  const TensorMeta &x = c.in(0), &index = c.in(1), &src = c.in(2);
  RUTILE_RETURN_IF_ERROR(check_index(index));
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(a.axis, x.rank(), &axis));
  bool fits = index.rank() == x.rank();
  for (int i = 0; fits && i < x.rank(); ++i) fits = i == axis || index.shape[i] <= x.shape[i];
  if (!fits) {
    return value_error(cat("index of shape ", index.shape, " does not fit x of shape ", x.shape,
                           " beside axis ", axis));
  }
  if (!(src.shape == index.shape)) {
    return value_error(cat("src expects index's shape ", index.shape, ", got ", src.shape));
  }
  RUTILE_RETURN_IF_ERROR(check_combined(x, src, a.reduce));
  return infer_like_x(x, out);
}

// [..] of indices [.., k], then x's dimensions from k on.
Status picked_shape(const Shape& x, const TensorMeta& indices, Shape* shape) {
  RUTILE_RETURN_IF_ERROR(check_index(indices));
  if (indices.rank() == 0) return value_error("indices expects shape [.., k], got a scalar");
  const int64_t k = indices.shape.back();
  if (k > x.rank()) {
    return value_error(cat("indices name ", k, " dimensions, there are ", x.rank()));
  }
  if (indices.rank() - 1 + x.rank() - k > kMaxRank) {
    return value_error("the result would have more than 8 dimensions");
  }
  *shape = Shape();
  for (int i = 0; i < indices.rank() - 1; ++i) shape->push_back(indices.shape[i]);
  for (int i = static_cast<int>(k); i < x.rank(); ++i) shape->push_back(x[i]);
  int64_t numel = 0;
  return checked_numel(*shape, &numel);
}
Status check_updates(const Shape& x, const TensorMeta& indices, const TensorMeta& updates) {
  Shape shape;
  RUTILE_RETURN_IF_ERROR(picked_shape(x, indices, &shape));
  if (updates.shape == shape) return Status();
  return value_error(cat("updates expects shape ", shape, ", got ", updates.shape));
}

Status infer_gather_nd(const CallMeta& c, TensorMeta* out) {
  Shape shape;
  RUTILE_RETURN_IF_ERROR(picked_shape(c.in(0).shape, c.in(1), &shape));
  *out = TensorMeta(shape, c.in(0).dtype, c.in(0).device);
  return Status();
}
Status infer_tensor_scatter(const CallMeta& c, TensorMeta* out) {
  RUTILE_RETURN_IF_ERROR(check_updates(c.in(0).shape, c.in(1), c.in(2)));
  RUTILE_RETURN_IF_ERROR(check_added(c.in(0), c.in(2), c.as<TensorScatterAttrs>().reduce));
  return infer_like_x(c.in(0), out);
}
Status infer_scatter_nd(const CallMeta& c, TensorMeta* out) {
  const Shape& shape = c.as<ScatterNdAttrs>().shape;
  const TensorMeta& updates = c.in(1);
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  RUTILE_RETURN_IF_ERROR(check_updates(shape, c.in(0), updates));
  if (updates.dtype == DType::kBool) {
    return type_error(cat("expects numbers, got ", updates.dtype));
  }
  if (is_complex(updates.dtype) && (shape.rank() == kMaxRank || updates.rank() == kMaxRank)) {
    return value_error("takes complex numbers in up to 7 dimensions");
  }
  *out = TensorMeta(shape, updates.dtype, updates.device);
  return Status();
}

// ---- Gradients ----------------------------------------------------------------------------------

// Both families differ in how they read and write at the places: take(t), put(base, src, reduce).
template <class Take, class Put>
GradResult grad_combined(GradCtx& c, ScatterReduce reduce, Take take, Put put) {
  const Tensor& g = c.grad();
  GradResult r{Tensor(), Tensor(), Tensor()};
  if (reduce == ScatterReduce::kNone || reduce == ScatterReduce::kAdd) {
    const bool replaced = reduce == ScatterReduce::kNone;
    if (c.needs(0)) {
      const TensorMeta& src = c.in_meta(2);
      r[0] = replaced ? put(g, full(src.shape, 0, g.dtype()), reduce) : g;
    }
    if (c.needs(2)) r[2] = take(g);
    return r;
  }
  const Tensor &x = c.in(0), &src = c.in(2);
  auto as_number = [&](const Tensor& t) { return cast(t, x.dtype()); };
  if (reduce == ScatterReduce::kMul) {  // the product of the others, also where some are zero
    const Tensor x0 = equal(x, 0), src0 = equal(src, 0);
    const Tensor zeros = put(as_number(x0), as_number(src0), ScatterReduce::kAdd);
    const Tensor rest = put(where(x0, 1.0, x), where(src0, 1.0, src), reduce);
    const Tensor none = g * where(equal(zeros, 0), rest, 0.0);
    const Tensor alone = g * where(equal(zeros, 1), rest, 0.0);
    r[0] = where(x0, alone, none / where(x0, 1.0, x));
    if (c.needs(2)) r[2] = where(src0, take(alone), take(none) / where(src0, 1.0, src));
    return r;
  }
  const Tensor& y = c.out();
  const Tensor x_hit = as_number(equal(x, y)), src_hit = as_number(equal(src, take(y)));
  const Tensor each = g / maximum(put(x_hit, src_hit, ScatterReduce::kAdd), 1.0);
  r[0] = each * x_hit;
  if (c.needs(2)) r[2] = take(each) * src_hit;
  return r;
}

GradResult grad_scatter(GradCtx& c) {
  const auto& a = c.attrs<ScatterAttrs>();
  const Tensor& index = c.in(1);
  return grad_combined(
      c, a.reduce, [&](const Tensor& t) { return take_along_axis(t, index, a.axis); },
      [&](const Tensor& base, const Tensor& src, ScatterReduce reduce) {
        return reduce == ScatterReduce::kAdd ? scatter_add(base, index, src, a.axis)
                                             : scatter(base, index, src, a.axis, reduce);
      });
}
GradResult grad_tensor_scatter(GradCtx& c) {
  const Tensor& indices = c.in(1);
  return grad_combined(
      c, c.attrs<TensorScatterAttrs>().reduce,
      [&](const Tensor& t) { return gather_nd(t, indices); },
      [&](const Tensor& base, const Tensor& src, ScatterReduce reduce) {
        return tensor_scatter(base, indices, src, reduce);
      });
}
GradResult grad_gather_nd(GradCtx& c) {
  return {scatter_nd(c.in(1), c.grad(), c.in_meta(0).shape), Tensor()};
}
GradResult grad_scatter_nd(GradCtx& c) { return {Tensor(), gather_nd(c.grad(), c.in(0))}; }

TensorList compose_scatter_nd(const void* attrs, In in) {
  const Shape& shape = static_cast<const ScatterNdAttrs*>(attrs)->shape;
  return {tensor_scatter(full(shape, 0, in[1].dtype()), in[0], in[1], ScatterReduce::kAdd)};
}

// ---- Compositions -------------------------------------------------------------------------------

Status check_line(const TensorMeta& index) {
  RUTILE_RETURN_IF_ERROR(check_index(index));
  if (index.rank() == 1) return Status();
  return value_error(cat("index expects shape [n], got ", index.shape));
}

Status infer_index_copy(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &index = c.in(1), &src = c.in(2);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<IndexAxisAttrs>().axis, x.rank(), &axis));
  RUTILE_RETURN_IF_ERROR(check_line(index));
  Shape shape = x.shape;
  shape[axis] = index.dim(0);
  if (!(src.shape == shape)) {
    return value_error(cat("src expects shape ", shape, ", got ", src.shape));
  }
  RUTILE_RETURN_IF_ERROR(check_combined(x, src, ScatterReduce::kNone));
  return infer_like_x(x, out);
}
// A number has one slice, itself.
Status infer_index_copy_of_any(const CallMeta& c, TensorMeta* out) {
  if (c.in(0).rank() > 0) return infer_index_copy(c, out);
  RUTILE_RETURN_IF_ERROR(infer_index_copy(LineCall(c).call(), out));
  return infer_like_x(c.in(0), out);
}
Tensor along(const Tensor& line, int axis, int rank) {
  Shape shape = Shape::filled(rank, 1);
  shape[axis] = line.dim(0);
  return reshape(line, shape);
}
int positive(int64_t axis, int rank) { return static_cast<int>(axis < 0 ? axis + rank : axis); }

TensorList compose_index_copy(const void* attrs, In in) {
  if (in[0].rank() == 0) {
    const Tensor one[] = {reshape(in[0], {1}), reshape(in[1], {1}), reshape(in[2], {1})};
    return {reshape(compose_index_copy(attrs, one)[0], {})};
  }
  const Tensor& src = in[2];
  const int axis = positive(static_cast<const IndexAxisAttrs*>(attrs)->axis, src.rank());
  if (axis == 0 && src.numel() > 0) {  // whole slices at one coordinate
    return {tensor_scatter(in[0], reshape(in[1], {in[1].numel(), 1}), src)};
  }
  const Tensor index = broadcast_to(along(in[1], axis, src.rank()), src.shape());
  return {scatter(in[0], index, src, axis)};
}

Status infer_index_fill(const CallMeta& c, TensorMeta* out) {
  const TensorMeta& x = c.in(0);
  int axis = 0;
  RUTILE_RETURN_IF_ERROR(normalize_axis(c.as<IndexFillAttrs>().axis, x.rank(), &axis));
  RUTILE_RETURN_IF_ERROR(check_line(c.in(1)));
  if (is_complex(x.dtype)) return type_error(cat("takes no complex numbers, got ", x.dtype));
  return infer_like_x(x, out);
}
TensorList compose_index_fill(const void* attrs, In in) {
  const auto& a = *static_cast<const IndexFillAttrs*>(attrs);
  const Tensor& x = in[0];
  const int axis = positive(a.axis, x.rank());
  const Tensor none = full({x.dim(axis)}, false, DType::kBool);
  const Tensor hit = scatter(none, in[1], full(in[1].shape(), true, DType::kBool), 0);
  return {where(along(hit, axis, x.rank()), full({}, a.value, x.dtype()), x)};
}

Status infer_index_put(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &values = c.in(1);
  const int k = c.num_inputs() - 2;
  if (k < 1 || k > x.rank()) {
    return value_error(cat("expects 1 to ", x.rank(), " indices, got ", k));
  }
  Shape shape;
  for (int i = 2; i < c.num_inputs(); ++i) {
    RUTILE_RETURN_IF_ERROR(check_index(c.in(i)));
    Shape wider;
    RUTILE_RETURN_IF_ERROR(broadcast_shapes(shape, c.in(i).shape, &wider));
    shape = wider;
  }
  if (shape.rank() + x.rank() - k > kMaxRank || shape.rank() == kMaxRank) {
    return value_error("what is written would have more than 8 dimensions");
  }
  for (int i = k; i < x.rank(); ++i) shape.push_back(x.dim(i));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  Shape wider;
  const Status fits = broadcast_shapes(shape, values.shape, &wider);
  if (!fits.ok() || !(wider == shape)) {
    return value_error(cat("values of shape ", values.shape, " do not fit ", shape));
  }
  const bool add = c.as<IndexPutAttrs>().accumulate;
  RUTILE_RETURN_IF_ERROR(
      check_combined(x, values, add ? ScatterReduce::kAdd : ScatterReduce::kNone));
  return infer_like_x(x, out);
}
TensorList compose_index_put(const void* attrs, In in) {
  const bool add = static_cast<const IndexPutAttrs*>(attrs)->accumulate;
  const Tensor& x = in[0];
  Shape shape;
  for (const Tensor& index : in.subspan(2)) {
    Shape wider;
    throw_if_error(broadcast_shapes(shape, index.shape(), &wider));
    shape = wider;
  }
  std::vector<Tensor> coordinates;
  for (const Tensor& index : in.subspan(2)) {
    coordinates.push_back(broadcast_to(cast(index, DType::kI64), shape));
  }
  Shape written = shape;
  for (int i = static_cast<int>(in.size()) - 2; i < x.rank(); ++i) written.push_back(x.dim(i));
  return {tensor_scatter(x, stack(coordinates, -1), broadcast_to(in[1], written),
                         add ? ScatterReduce::kAdd : ScatterReduce::kNone)};
}

Status infer_masked_scatter(const CallMeta& c, TensorMeta* out) {
  const TensorMeta &x = c.in(0), &mask = c.in(1), &src = c.in(2);
  if (mask.dtype != DType::kBool) return type_error(cat("mask expects bool, got ", mask.dtype));
  Shape shape;
  RUTILE_RETURN_IF_ERROR(broadcast_shapes(x.shape, mask.shape, &shape));
  RUTILE_RETURN_IF_ERROR(check_combined(x, src, ScatterReduce::kNone));
  int64_t numel = 0;
  RUTILE_RETURN_IF_ERROR(checked_numel(shape, &numel));
  *out = TensorMeta(shape, x.dtype, x.device);
  return Status();
}
TensorList compose_masked_scatter(const void*, In in) {
  Shape shape;
  throw_if_error(broadcast_shapes(in[0].shape(), in[1].shape(), &shape));
  const Tensor x = broadcast_to(in[0], shape), &src = in[2];
  const int64_t n = x.numel();
  if (n == 0) return {contiguous(x)};
  const Tensor mask = reshape(broadcast_to(in[1], x.shape()), {n});
  const Tensor number = cumsum(cast(mask, DType::kI64)) - 1;
  if (!number.is_symbolic()) {
    const int64_t wanted = slice(number, {n - 1}, {n}).item<int64_t>() + 1;
    if (wanted > src.numel()) {
      throw_error(ErrorCode::kIndex,
                  cat("mask takes ", wanted, " elements, src has only ", src.numel()));
    }
  }
  // A zero behind src for the places that take none; a place too many is out of range.
  const Tensor end = full({1}, 0, x.dtype());
  const Tensor line = concat({{end, reshape(src, {src.numel()})}}, 0);
  const Tensor taken = gather(line, where(mask, number + 1, Scalar(int64_t{0})), 0);
  return {reshape(where(mask, taken, reshape(x, {n})), x.shape())};
}

}  // namespace

constinit const OpDef kScatter =
    define({.name = "scatter",
            .inputs = {"x", "index", "src"},
            .attrs = attrs_of<ScatterAttrs>(),
            .infer = infer_lines<infer_scatter>,
            .flops = flops_per_input<1, 2>,
            .grad = grad_scatter,
            .saves = {"x", "index", "src", "y"},
            .checks_values = true,
            .doc = "x with elements of src set or combined where the index points on an axis."});
Tensor scatter(Arg x, Arg index, Arg src, int64_t axis, ScatterReduce reduce) {
  const ScatterAttrs a{axis, reduce};
  return call1(kScatter, &a, {x.tensor, index.tensor, src.tensor}, x.where);
}
Tensor scatter(Arg x, Arg index, Scalar value, int64_t axis, ScatterReduce reduce) {
  const Tensor src = full(index.tensor.shape(), value, x.tensor.dtype(), x.where);
  return scatter(x, index, src, axis, reduce);
}

constinit const OpDef kIndexCopy = define({.name = "index_copy",
                                           .inputs = {"x", "index", "src"},
                                           .attrs = attrs_of<IndexAxisAttrs>(),
                                           .infer = infer_index_copy_of_any,
                                           .flops = flops_per_input<1, 2>,
                                           .compose = compose_index_copy,
                                           .checks_values = true,
                                           .doc = "x with slices along an axis replaced."});
Tensor index_copy(Arg x, Arg index, Arg src, int64_t axis) {
  const IndexAxisAttrs a{axis};
  return call1(kIndexCopy, &a, {x.tensor, index.tensor, src.tensor}, x.where);
}

constinit const OpDef kIndexFill = define({.name = "index_fill",
                                           .inputs = {"x", "index"},
                                           .attrs = attrs_of<IndexFillAttrs>(),
                                           .infer = infer_index_fill,
                                           .flops = flops_per_input<1>,
                                           .compose = compose_index_fill,
                                           .checks_values = true,
                                           .doc = "x with slices along an axis set to a value."});
Tensor index_fill(Arg x, Arg index, int64_t axis, Scalar value) {
  const IndexFillAttrs a{axis, value};
  return call1(kIndexFill, &a, {x.tensor, index.tensor}, x.where);
}

Tensor index_select(Arg x, Arg index, int64_t axis) {
  if (index.tensor.rank() != 1) {
    throw_error(ErrorCode::kValue,
                cat("[index_select] index expects shape [n], got ", index.tensor.shape()));
  }
  return gather(x, index, axis);
}

constinit const OpDef kGatherNd = define({.name = "gather_nd",
                                          .inputs = {"x", "indices"},
                                          .infer = infer_gather_nd,
                                          .flops = flops_per_input<1, 1>,
                                          .bytes = bytes_of_lookup<0>,
                                          .grad = grad_gather_nd,
                                          .saves = {"indices"},
                                          .checks_values = true,
                                          .doc = "Elements or slices of x at coordinates."});
Tensor gather_nd(Arg x, Arg indices) {
  return call1(kGatherNd, nullptr, {x.tensor, indices.tensor}, x.where);
}

constinit const OpDef kTensorScatter =
    define({.name = "tensor_scatter",
            .inputs = {"x", "indices", "updates"},
            .attrs = attrs_of<TensorScatterAttrs>(),
            .infer = infer_tensor_scatter,
            .flops = flops_per_input<1, 2>,
            .grad = grad_tensor_scatter,
            .saves = {"x", "indices", "updates", "y"},
            .checks_values = true,
            .doc = "x with elements or slices at coordinates set or combined with updates."});
Tensor tensor_scatter(Arg x, Arg indices, Arg updates, ScatterReduce reduce) {
  const TensorScatterAttrs a{reduce};
  return call1(kTensorScatter, &a, {x.tensor, indices.tensor, updates.tensor}, x.where);
}

constinit const OpDef kScatterNd = define({.name = "scatter_nd",
                                           .inputs = {"indices", "updates"},
                                           .attrs = attrs_of<ScatterNdAttrs>(),
                                           .infer = infer_scatter_nd,
                                           .flops = flops_per_input<1, 1>,
                                           .grad = grad_scatter_nd,
                                           .saves = {"indices"},
                                           .compose = compose_scatter_nd,
                                           .checks_values = true,
                                           .doc = "Zeros with updates added at coordinates."});
Tensor scatter_nd(Arg indices, Arg updates, const Shape& shape) {
  const ScatterNdAttrs a{shape};
  return call1(kScatterNd, &a, {indices.tensor, updates.tensor}, updates.where);
}

constinit const OpDef kIndexPut = define({.name = "index_put",
                                          .inputs = {"x", "values", "indices*"},
                                          .attrs = attrs_of<IndexPutAttrs>(),
                                          .infer = infer_index_put,
                                          .flops = flops_per_input<1, 1>,
                                          .compose = compose_index_put,
                                          .checks_values = true,
                                          .doc = "x with x[indices...] = values (or added)."});
Tensor index_put(Arg x, std::span<const Tensor> indices, Arg values, bool accumulate) {
  const IndexPutAttrs a{accumulate};
  std::vector<Tensor> in{x.tensor, values.tensor};
  in.insert(in.end(), indices.begin(), indices.end());
  return call_n(kIndexPut, &a, in, x.where)[0];
}

constinit const OpDef kMaskedScatter =
    define({.name = "masked_scatter",
            .inputs = {"x", "mask", "src"},
            .infer = infer_masked_scatter,
            .flops = flops_per_input<2>,
            .compose = compose_masked_scatter,
            .checks_values = true,
            .doc = "x with the elements of src one after the other where the mask is true."});
Tensor masked_scatter(Arg x, Arg mask, Arg src) {
  return call1(kMaskedScatter, nullptr, {x.tensor, mask.tensor, src.tensor}, x.where);
}

}  // namespace rutile::ops

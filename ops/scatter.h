// SPDX-License-Identifier: Apache-2.0
// Writing by index. The result is a copy of x in which places that indices name are set to, or
// combined with, what comes in. x and what comes in have one dtype.
//
//   Tensor y = ops::scatter(x, ids, s, 1);           // y[i][ids[i][j]] = s[i][j]
//   Tensor z = ops::scatter_nd(p, s, {10, 4});       // s[i] added at coordinates p[i] of zeros
//   Tensor e = ops::gather_nd(x, p);                 // e[i] = x[p[i][0]][p[i][1]]
//
// Indices are i32 or i64; negative ones count from the end, one out of range is kIndex with the
// value, where it stands and what was allowed. Of several updates of one place the last wins where
// they are not combined; sums run in the order of the index.
#pragma once

#include <span>

#include "rutile/ops/call.h"
#include "rutile/ops/index.h"

namespace rutile {
// What becomes of an element at a named place: the new one, or both combined.
enum class ScatterReduce : uint8_t { kNone, kAdd, kMul, kMax, kMin };
template <>
struct EnumNames<ScatterReduce> {
  static constexpr const char* value[] = {"none", "add", "mul", "amax", "amin"};
};
}  // namespace rutile

namespace rutile::ops {

// ---- Along an axis ----------------------------------------------------------------------------

struct ScatterAttrs {
  int64_t axis = 0;
  ScatterReduce reduce = ScatterReduce::kNone;
  RUTILE_REFLECT(axis, reduce)
};
// y[.., index[.., i, ..], ..] = src[.., i, ..], or combined with it: index has src's shape and is
// nowhere larger than x except along the axis. Gradients: ties of amax and amin share, those of mul
// hold at zeros.
extern RUTILE_API const OpDef kScatter;
RUTILE_API Tensor scatter(Arg x, Arg index, Arg src, int64_t axis,
                          ScatterReduce reduce = ScatterReduce::kNone);
RUTILE_API Tensor scatter(Arg x, Arg index, Scalar value, int64_t axis,
                          ScatterReduce reduce = ScatterReduce::kNone);

struct IndexAxisAttrs {
  int64_t axis = 0;
  RUTILE_REFLECT(axis)
};
// Slice index[i] along the axis becomes slice i of src; index is 1-d.
extern RUTILE_API const OpDef kIndexCopy;
RUTILE_API Tensor index_copy(Arg x, Arg index, Arg src, int64_t axis);

struct IndexFillAttrs {
  int64_t axis = 0;
  Scalar value = 0;
  RUTILE_REFLECT(axis, value)
};
// Slices index[i] along the axis become `value`; index is 1-d.
extern RUTILE_API const OpDef kIndexFill;
RUTILE_API Tensor index_fill(Arg x, Arg index, int64_t axis, Scalar value);
// The slices along the axis that a 1-d index names.
RUTILE_API Tensor index_select(Arg x, Arg index, int64_t axis);

// ---- By coordinates ---------------------------------------------------------------------------

// x[indices[.., 0], .., indices[.., k - 1]]: indices [.., k] with k at most x's rank give shape
// [..] and x's dimensions from k on.
extern RUTILE_API const OpDef kGatherNd;
RUTILE_API Tensor gather_nd(Arg x, Arg indices);

struct TensorScatterAttrs {
  ScatterReduce reduce = ScatterReduce::kNone;
  RUTILE_REFLECT(reduce)
};
// The opposite of gather_nd: elements or slices of x at coordinates set to, or combined with, those
// of updates, whose shape is that of gather_nd(x, indices).
extern RUTILE_API const OpDef kTensorScatter;
RUTILE_API Tensor tensor_scatter(Arg x, Arg indices, Arg updates,
                                 ScatterReduce reduce = ScatterReduce::kNone);

struct ScatterNdAttrs {
  Dims shape;
  RUTILE_REFLECT(shape)
};
// Zeros of `shape` with the updates added at coordinates.
extern RUTILE_API const OpDef kScatterNd;
RUTILE_API Tensor scatter_nd(Arg indices, Arg updates, const Shape& shape);

struct IndexPutAttrs {
  bool accumulate = false;  // add instead
  RUTILE_REFLECT(accumulate)
};
// x[indices[0], indices[1], ..] = values: the indices are broadcast to one shape, the values to
// that and x's remaining dimensions.
extern RUTILE_API const OpDef kIndexPut;
RUTILE_API Tensor index_put(Arg x, std::span<const Tensor> indices, Arg values,
                            bool accumulate = false);

// ---- By mask ----------------------------------------------------------------------------------

// The elements of src one after the other where mask (broadcast against x) is true, x elsewhere.
// src has at least as many elements as the mask is true: kIndex otherwise.
extern RUTILE_API const OpDef kMaskedScatter;
RUTILE_API Tensor masked_scatter(Arg x, Arg mask, Arg src);

}  // namespace rutile::ops

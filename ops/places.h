// SPDX-License-Identifier: Apache-2.0
// Further reading and writing at places; the results are new tensors, see scatter.h.
//
//   Tensor y = ops::scatter_reduce(x, ids, src, {.axis = 1, .reduce = IndexReduce::kMean});
//   Tensor z = ops::slice_scatter(x, src, {.axis = 0, .start = 2, .end = 4});   // x[2:4] = part
//   Tensor bags = ops::embedding_bag(ids, table);       // i64[8,5], f32[100,16] -> f32[8,16]
//
// Indices are i32 or i64; negative ones count from the end where nothing else is said, one out of
// range is kIndex. A wrong axis is kIndex, a wrong shape kValue, a wrong dtype kType.
#pragma once

#include <span>
#include <vector>

#include "rutile/ops/arrange.h"
#include "rutile/ops/call.h"

namespace rutile {
enum class IndexReduce : uint8_t { kSum, kProd, kMean, kAmax, kAmin };
template <>
struct EnumNames<IndexReduce> {
  static constexpr const char* value[] = {"sum", "prod", "mean", "amax", "amin"};
};
enum class BagMode : uint8_t { kSum, kMean, kMax };
template <>
struct EnumNames<BagMode> {
  static constexpr const char* value[] = {"sum", "mean", "max"};
};
}  // namespace rutile

namespace rutile::ops {

struct ScatterReduceAttrs {
  int64_t axis = 0;
  IndexReduce reduce = IndexReduce::kSum;
  bool include_self = true;  // is x's own element among those that are combined
  RUTILE_REFLECT(axis, reduce, include_self)
};
// What src brings to one element of x combined: y[.., index[.., i, ..], ..] is the sum, product,
// mean (rounded down for integers) or extremum over all i. Elements that no index names stay.
// Shapes as in scatter. Ties of extrema share the gradient.
extern RUTILE_API const OpDef kScatterReduce;
RUTILE_API Tensor scatter_reduce(Arg x, Arg index, Arg src, ScatterReduceAttrs attrs = {});
// The same of whole slices: index is 1-d, src has x's shape but for the axis.
extern RUTILE_API const OpDef kIndexReduce;
RUTILE_API Tensor index_reduce(Arg x, Arg index, Arg src, ScatterReduceAttrs attrs = {});

struct PutAttrs {
  bool accumulate = false;  // add instead
  RUTILE_REFLECT(accumulate)
};
// x with elements, counted in row-major order, set to those of src (of index's shape).
extern RUTILE_API const OpDef kPut;
RUTILE_API Tensor put(Arg x, Arg index, Arg src, bool accumulate = false);

// x with a part of it replaced by src, which has that part's shape.
struct SelectScatterAttrs {
  int64_t axis = 0, index = 0;
  RUTILE_REFLECT(axis, index)
};
extern RUTILE_API const OpDef kSelectScatter;  // select(x, axis, index)
RUTILE_API Tensor select_scatter(Arg x, Arg src, int64_t axis, int64_t index);
struct SliceScatterAttrs {
  int64_t axis = 0, start = 0, end = INT64_MAX, step = 1;  // limits as in Python
  RUTILE_REFLECT(axis, start, end, step)
};
extern RUTILE_API const OpDef kSliceScatter;  // slice_axis(x, axis, start, end, step)
RUTILE_API Tensor slice_scatter(Arg x, Arg src, SliceScatterAttrs attrs = {});
extern RUTILE_API const OpDef kDiagonalScatter;  // diagonal(x, attrs)
RUTILE_API Tensor diagonal_scatter(Arg x, Arg src, DiagonalAttrs attrs = {});

struct UnravelIndexAttrs {
  Dims shape;
  RUTILE_REFLECT(shape)
};
// The coordinates, one tensor for each dimension, of positions in a tensor of `shape` counted in
// row-major order. A position outside is kIndex.
extern RUTILE_API const OpDef kUnravelIndex;
RUTILE_API std::vector<Tensor> unravel_index(Arg index, const Shape& shape);

struct EmbeddingBagAttrs {
  BagMode mode = BagMode::kMean;
  int64_t padding_idx = -1;          // rows that count nothing; negative: none
  bool include_last_offset = false;  // the last offset is the end, not a bag
  RUTILE_REFLECT(mode, padding_idx, include_last_offset)
};
// Sums, means or maxima of bags of rows of table [n, d]. ids [b, k]: a row of ids is a bag. ids [k]
// with offsets [b] (ascending, from 0): bag i starts at offsets[i]. weights, of ids' shape, scale
// the rows of sums. Result [b, d], 0 for an empty bag.
extern RUTILE_API const OpDef kEmbeddingBag;
RUTILE_API Tensor embedding_bag(Arg ids, Arg table, EmbeddingBagAttrs attrs = {},
                                const Tensor& offsets = {}, const Tensor& weights = {});

// `length` elements of an axis from `start` on: a view.
RUTILE_API Tensor narrow(Arg x, int64_t axis, int64_t start, int64_t length);
// take_along_axis with x and index broadcast against each other beside the axis.
RUTILE_API Tensor take_along_dim(Arg x, Arg index, int64_t axis);

// ---- NumPy's stacks and splits ------------------------------------------------------------------

// At least so many dimensions: [n] becomes [1, n]; [m, n] becomes [m, n, 1], [n] becomes [1, n, 1].
RUTILE_API Tensor atleast_1d(Arg x);
RUTILE_API Tensor atleast_2d(Arg x);
RUTILE_API Tensor atleast_3d(Arg x);
// Side by side along axis 1 (0 for vectors), below each other, behind each other; vectors as
// columns.
RUTILE_API Tensor hstack(std::span<const Tensor> xs);
RUTILE_API Tensor vstack(std::span<const Tensor> xs);
RUTILE_API Tensor dstack(std::span<const Tensor> xs);
RUTILE_API Tensor column_stack(std::span<const Tensor> xs);
// `sections` parts of an axis, the first of which are larger by one where it does not divide; or
// parts that end at the given places.
RUTILE_API std::vector<Tensor> tensor_split(Arg x, int64_t sections, int64_t axis = 0);
RUTILE_API std::vector<Tensor> tensor_split_at(Arg x, std::span<const int64_t> ends,
                                               int64_t axis = 0);
// Equal parts of axis 1 (0 for vectors), 0 and 2.
RUTILE_API std::vector<Tensor> hsplit(Arg x, int64_t sections);
RUTILE_API std::vector<Tensor> vsplit(Arg x, int64_t sections);
RUTILE_API std::vector<Tensor> dsplit(Arg x, int64_t sections);
// The ways to choose r of the elements of x [n] in their order, with or without repeats: [m, r].
RUTILE_API Tensor combinations(Arg x, int64_t r = 2, bool with_replacement = false);

}  // namespace rutile::ops

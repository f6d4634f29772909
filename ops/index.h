// SPDX-License-Identifier: Apache-2.0
// Reading and writing by index, creation by rule, sorting.
//
//   Tensor e = embedding(ids, table);              // ids [b,t] i64, table [vocab,d] -> [b,t,d]
//   Tensor p = take_along_axis(log_p, labels, 1);  // one element of each row
//
// Indices are i32 or i64. One out of range is kIndex, with the value, where it stands and what was
// allowed; negative ones count from the end unless said otherwise.
#pragma once

#include <vector>

#include "rutile/ops/call.h"

namespace rutile::ops {

// ---- Creation -----------------------------------------------------------------------------------

struct FullAttrs {
  Dims shape;
  Scalar value = 0;
  DType dtype = DType::kF32;
  RUTILE_REFLECT(shape, value, dtype)
};
extern RUTILE_API const OpDef kFull;
// Every element is `value`.
RUTILE_API Tensor full(const Shape& shape, Scalar value, DType dtype = DType::kF32,
                       std::source_location where = std::source_location::current());
RUTILE_API Tensor zeros(const Shape& shape, DType dtype = DType::kF32,
                        std::source_location where = std::source_location::current());
RUTILE_API Tensor ones(const Shape& shape, DType dtype = DType::kF32,
                       std::source_location where = std::source_location::current());
RUTILE_API Tensor zeros_like(Arg x);
RUTILE_API Tensor ones_like(Arg x);

struct ArangeAttrs {
  Scalar start = 0, stop = 0, step = 1;
  OptionalDType dtype;  // unset: i64 for integers, else f32
  RUTILE_REFLECT(start, stop, step, dtype)
};
extern RUTILE_API const OpDef kArange;
// start, start + step, ... below (for a negative step: above) stop; 1-d.
RUTILE_API Tensor arange(Scalar start, Scalar stop, Scalar step = 1, OptionalDType dtype = {},
                         std::source_location where = std::source_location::current());

struct OneHotAttrs {
  int64_t depth = 0;
  DType dtype = DType::kF32;
  RUTILE_REFLECT(depth, dtype)
};
extern RUTILE_API const OpDef kOneHot;
// [...] -> [..., depth] with a one at each index; indices in [0, depth).
RUTILE_API Tensor one_hot(Arg ids, int64_t depth, DType dtype = DType::kF32);

// ---- Rows
// -----------------------------------------------------------------------------------------

struct EmbeddingAttrs {
  int64_t padding_idx = -1;  // this row gets no gradient; -1: none
  RUTILE_REFLECT(padding_idx)
};
extern RUTILE_API const OpDef kEmbedding;
// Row ids[...] of table [n, d]: [..., d]. Indices in [0, n). A table in low precision gets its
// gradient in f32.
RUTILE_API Tensor embedding(Arg ids, Arg table, EmbeddingAttrs a = {});

struct EmbeddingGradAttrs {
  int64_t rows = 0;
  int64_t padding_idx = -1;
  OptionalDType out_dtype;  // unset: that of grad
  RUTILE_REFLECT(rows, padding_idx, out_dtype)
};
extern RUTILE_API const OpDef kEmbeddingGrad;

struct GatherAttrs {
  int64_t axis = 0;
  RUTILE_REFLECT(axis)
};
extern RUTILE_API const OpDef kGather;
// Slices of x along an axis (numpy.take, MindSpore's gather): the index's shape replaces the axis,
// x [a, n, b], index [i, j] -> [a, i, j, b] for axis 1.
RUTILE_API Tensor gather(Arg x, Arg index, int64_t axis = 0);
RUTILE_API Tensor take(Arg x, Arg index, int64_t axis = 0);

struct IndexAddAttrs {
  int64_t axis = 0;
  int64_t size = 0;  // of the axis
  RUTILE_REFLECT(axis, size)
};
// Zeros with the slices of x added at the places that the index names: gather's gradient.
//
//   Tensor sums = ops::index_add(messages, node, 0, 100);   // f32[500,16], i64[500] -> f32[100,16]
extern RUTILE_API const OpDef kIndexAdd;
RUTILE_API Tensor index_add(Arg x, Arg index, int64_t axis, int64_t size);

// ---- Elements
// -------------------------------------------------------------------------------------

struct TakeAlongAttrs {
  int64_t axis = 0;
  bool wrap = true;  // negative indices count from the end; otherwise they are out of range
  RUTILE_REFLECT(axis, wrap)
};
extern RUTILE_API const OpDef kTakeAlongAxis;
// result[.., i, ..] = x[.., index[.., i, ..], ..]: index has x's rank and is nowhere larger than x
// except along the axis (torch.gather, MindSpore's gather_elements).
RUTILE_API Tensor take_along_axis(Arg x, Arg index, int64_t axis);
RUTILE_API Tensor gather_elements(Arg x, Arg index, int64_t axis);

extern RUTILE_API const OpDef kScatterAdd;
// A copy of x with x[.., index[.., i, ..], ..] += src[.., i, ..]; src has the index's shape.
RUTILE_API Tensor scatter_add(Arg x, Arg index, Arg src, int64_t axis);

// where(mask, value, x).
RUTILE_API Tensor masked_fill(Arg x, Arg mask, Scalar value);

// ---- Order
// ----------------------------------------------------------------------------------------

struct TopkAttrs {
  int64_t k = 1;
  int64_t axis = -1;
  bool largest = true;
  RUTILE_REFLECT(k, axis, largest)
};
struct ValuesIndices {
  Tensor values, indices;  // indices i64
};
extern RUTILE_API const OpDef kTopk;
// The k largest (smallest) elements along an axis, in order; equal ones by position, NaN counts as
// the largest.
RUTILE_API ValuesIndices topk(Arg x, int64_t k, int64_t axis = -1, bool largest = true);

struct SortAttrs {
  int64_t axis = -1;
  bool descending = false;
  RUTILE_REFLECT(axis, descending)
};
extern RUTILE_API const OpDef kSort;
// Stable; NaN counts as the largest.
RUTILE_API ValuesIndices sort(Arg x, int64_t axis = -1, bool descending = false);
RUTILE_API Tensor argsort(Arg x, int64_t axis = -1, bool descending = false);

extern RUTILE_API const OpDef kNonzero;
// Positions [n, rank] (i64) of the elements that are not zero, in row-major order. Reads a value,
// so it cannot be traced; the op itself gives all rows there may be and their count.
RUTILE_API Tensor nonzero(Arg x);

}  // namespace rutile::ops

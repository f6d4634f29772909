// SPDX-License-Identifier: Apache-2.0
// Results whose size depends on values, and counts. An op gives as much room as there may be and
// the count; the functions cut that off, which reads a value: they cannot be traced, the ops can.
//
//   auto u = ops::unique(x);                      // u.values, u.inverse (x's shape), u.counts
//   Tensor chosen = ops::masked_select(x, ops::greater(x, 0));
//   Tensor n = ops::bincount(labels);             // i64[largest label + 1]
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct Unique {
  Tensor values, inverse, counts;  // x = values[inverse]
};
// The distinct elements of all of x in ascending order (each NaN is one of its own, at the end),
// where each element of x stands among them (i64), and how often each comes (i64). The op: values
// and counts of x's size, zeros behind `count`.
extern RUTILE_API const OpDef kUnique;
RUTILE_API Unique unique(Arg x);
// The same of x's elements in their order, equal neighbours taken together.
extern RUTILE_API const OpDef kUniqueConsecutive;
RUTILE_API Unique unique_consecutive(Arg x);

// The same of slices along an axis, in the order of their elements. values: x without the repeats;
// inverse and counts are 1-d. The op takes rows [n, k] and gives the place of the first row of each
// kind instead of the values, [n].
struct UniqueRowsAttrs {
  bool consecutive = false;  // equal neighbours only, in x's order
  RUTILE_REFLECT(consecutive)
};
extern RUTILE_API const OpDef kUniqueRows;
RUTILE_API Unique unique_along(Arg x, int64_t axis, bool consecutive = false);

// The elements of x where mask (bool, broadcast with x) is true, 1-d in row-major order. The op:
// as many as x has, zeros behind `count`.
extern RUTILE_API const OpDef kMaskedSelect;
RUTILE_API Tensor masked_select(Arg x, Arg mask);

struct BincountAttrs {
  int64_t length = 0;
  RUTILE_REFLECT(length)
};
// How often 0 .. length - 1 come in x (any integers, any shape), or the sums of their weights
// (floats of x's shape). Numbers outside are kIndex.
extern RUTILE_API const OpDef kBincount;
// length: the largest number in x and one, at least minlength.
RUTILE_API Tensor bincount(Arg x, const Tensor& weights = {}, int64_t minlength = 0);

struct HistcAttrs {
  int64_t bins = 100;
  double min = 0, max = 0;  // both 0: those of x
  RUTILE_REFLECT(bins, min, max)
};
// How many elements of x (floats) fall into each of `bins` equal parts of [min, max], in x's dtype;
// others are not counted.
extern RUTILE_API const OpDef kHistc;
RUTILE_API Tensor histc(Arg x, HistcAttrs attrs = {});

}  // namespace rutile::ops

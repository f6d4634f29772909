// SPDX-License-Identifier: Apache-2.0
// Reductions over axes. `axes` may be negative and in any order; none means all. Reduced dimensions
// are dropped unless `keepdims`.
//
//   Tensor s = ops::sum(x, {.axes = {0, 2, 3}});   // f32[N,C,H,W] -> f32[C]
//
// Low precision accumulates in f32, in a fixed order per thread count.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct SumAttrs {
  Dims axes = {};
  bool keepdims = false;
  OptionalDType dtype = {};  // of the result; default: x's, i64 for integers and bool
  RUTILE_REFLECT(axes, keepdims, dtype)
};
extern RUTILE_API const OpDef kSum;
RUTILE_API Tensor sum(Arg x, SumAttrs attrs = {});

struct SumToShapeAttrs {
  Dims shape = {};
  OptionalDType dtype = {};  // of the result; default as for sum
  RUTILE_REFLECT(shape, dtype)
};
// x summed down to `shape`, the opposite of broadcasting `shape` to x's shape. Error kValue if
// `shape` does not broadcast to x's.
extern RUTILE_API const OpDef kSumToShape;
RUTILE_API Tensor sum_to_shape(Arg x, const Shape& shape, OptionalDType dtype = {});

struct BroadcastToAttrs {
  Dims shape = {};
  Dims axes = {};  // dimensions of `shape` that x lacks; none given: the leading ones
  RUTILE_REFLECT(shape, axes)
};
// A view of x in a larger shape: repeated dimensions have stride 0.
//
//   broadcast_to(x, {8, 3, 5}, {2});   // x f32[8,1] -> f32[8,3,5]
extern RUTILE_API const OpDef kBroadcastTo;
RUTILE_API Tensor broadcast_to(Arg x, const Shape& shape, const Dims& axes = {});

}  // namespace rutile::ops

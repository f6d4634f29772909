// SPDX-License-Identifier: Apache-2.0
// Reductions over axes. `axes` may be negative and in any order; none means all. Reduced dimensions
// are dropped unless `keepdims`.
//
//   Tensor s = ops::sum(x, {.axes = {0, 2, 3}});   // f32[N,C,H,W] -> f32[C]
//
// Low precision accumulates in f32, in an order that depends on the shape and the number of threads
// only. Sums, means and products take complex numbers. Errors: kIndex for an axis out of range,
// kValue for one named twice, kType for complex numbers elsewhere.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct SumAttrs {
  Dims axes = {};
  bool keepdims = false;
  OptionalDType dtype = {};  // of the result and of the accumulation (at least f32)
  RUTILE_REFLECT(axes, keepdims, dtype)
};
// Integers and bool sum to i64 (u64 to u64) unless `dtype` says otherwise. Nothing sums to 0.
extern RUTILE_API const OpDef kSum;
RUTILE_API Tensor sum(Arg x, SumAttrs attrs = {});
// Integers and bool give f32. The mean of nothing is NaN.
extern RUTILE_API const OpDef kMean;
RUTILE_API Tensor mean(Arg x, SumAttrs attrs = {});

struct ReduceAttrs {
  Dims axes = {};
  bool keepdims = false;
  RUTILE_REFLECT(axes, keepdims)
};
// Largest and smallest element; NaN if there is one; ties share the gradient. kValue if a result
// would come from no elements.
extern RUTILE_API const OpDef kMax;
RUTILE_API Tensor max(Arg x, ReduceAttrs attrs = {});
extern RUTILE_API const OpDef kMin;
RUTILE_API Tensor min(Arg x, ReduceAttrs attrs = {});
// Product, 1 of nothing; dtype as for sum.
extern RUTILE_API const OpDef kProd;
RUTILE_API Tensor prod(Arg x, ReduceAttrs attrs = {});
// Is any, are all elements nonzero; bool.
extern RUTILE_API const OpDef kAny;
RUTILE_API Tensor any(Arg x, ReduceAttrs attrs = {});
extern RUTILE_API const OpDef kAll;
RUTILE_API Tensor all(Arg x, ReduceAttrs attrs = {});
// Euclidean norm sqrt(sum(x^2)). Floats only; the gradient at 0 is 0.
extern RUTILE_API const OpDef kNorm;
RUTILE_API Tensor norm(Arg x, ReduceAttrs attrs = {});
// log(sum(exp(x))) without overflow. Floats only.
extern RUTILE_API const OpDef kLogSumExp;
RUTILE_API Tensor logsumexp(Arg x, ReduceAttrs attrs = {});

struct VarAttrs {
  Dims axes = {};
  bool keepdims = false;
  int64_t correction = 1;  // the divisor is n - correction: 1 unbiased, 0 population
  RUTILE_REFLECT(axes, keepdims, correction)
};
// Variance and its square root, in two passes. Floats only.
extern RUTILE_API const OpDef kVar;
RUTILE_API Tensor var(Arg x, VarAttrs attrs = {});
extern RUTILE_API const OpDef kStd;
RUTILE_API Tensor std(Arg x, VarAttrs attrs = {});

struct ArgAttrs {
  Dims axes = {};  // one axis, or none: the index into the flattened tensor
  bool keepdims = false;
  RUTILE_REFLECT(axes, keepdims)
};
// i64 index of the first largest or smallest element (of the first NaN if there is one).
extern RUTILE_API const OpDef kArgmax;
RUTILE_API Tensor argmax(Arg x, ArgAttrs attrs = {});
extern RUTILE_API const OpDef kArgmin;
RUTILE_API Tensor argmin(Arg x, ArgAttrs attrs = {});

struct CumsumAttrs {
  int64_t axis = -1;
  bool exclusive = false;  // without the element itself
  bool reverse = false;    // from the end
  RUTILE_REFLECT(axis, exclusive, reverse)
};
// Running sums along an axis; dtype as for sum.
extern RUTILE_API const OpDef kCumsum;
RUTILE_API Tensor cumsum(Arg x, CumsumAttrs attrs = {});

struct SumToShapeAttrs {
  Dims shape = {};
  OptionalDType dtype = {};
  RUTILE_REFLECT(shape, dtype)
};
// x summed down to `shape`, the opposite of broadcasting `shape` to x's shape; dtype as for sum.
// Error kValue if `shape` does not broadcast to x's.
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

// Bit mask of the axes, all of `rank` for none: for kernels and rules of reductions.
Status axis_mask(const Dims& axes, int rank, uint32_t* mask);
// dtype of a sum: integers and bool widen to 64 bits unless one is wanted.
Status sum_dtype(DType in, OptionalDType wanted, DType* out);
// The same where complex numbers sum as pairs of real ones, for which x needs room for a dimension.
Status linear_sum_dtype(const TensorMeta& x, OptionalDType wanted, DType* out);
// The mask of a call of any op above but cumsum and broadcast_to, already inferred.
uint32_t reduced_mask(const CallMeta& c);

}  // namespace rutile::ops

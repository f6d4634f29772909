// SPDX-License-Identifier: Apache-2.0
// Order statistics and searching in sorted numbers. Sorting itself and topk are in index.h.
//
//   auto [v, i] = ops::median(x, {.axes = {1}});                     // f32[8,5] -> f32[8], i64[8]
//   Tensor q = ops::quantile(x, Tensor::from<float>({0.25f, 0.75f}, {2}), {.axes = {1}});  // [2,8]
//   Tensor place = ops::searchsorted(a, x);               // f32[10], f32[8,5] -> i64[8,5]
//
// A wrong axis is kIndex, no elements to choose from kValue, complex numbers kType. NaN counts as
// the largest where nothing else is said.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/index.h"
#include "rutile/ops/reduce.h"

namespace rutile::ops {

// ---- One element of each line -----------------------------------------------------------------

struct KthvalueAttrs {
  int64_t k = 1;
  int64_t axis = -1;
  bool keepdims = false;
  RUTILE_REFLECT(k, axis, keepdims)
};
// The k-th smallest element (k from 1) along an axis and its place; of equal ones the k-th by
// position.
extern RUTILE_API const OpDef kKthvalue;
RUTILE_API ValuesIndices kthvalue(Arg x, int64_t k, int64_t axis = -1, bool keepdims = false);

// The middle element, the lower one of two, and its place: along one axis, or of all (then the
// place is that in the flattened tensor). NaN if there is one; nanmedian leaves NaNs out and is NaN
// only where there is nothing else.
extern RUTILE_API const OpDef kMedian;
RUTILE_API ValuesIndices median(Arg x, ArgAttrs attrs = {});
extern RUTILE_API const OpDef kNanmedian;
RUTILE_API ValuesIndices nanmedian(Arg x, ArgAttrs attrs = {});

struct ModeAttrs {
  int64_t axis = -1;
  bool keepdims = false;
  RUTILE_REFLECT(axis, keepdims)
};
// The most frequent element along an axis, the smallest of several such, and its last place.
extern RUTILE_API const OpDef kMode;
RUTILE_API ValuesIndices mode(Arg x, int64_t axis = -1, bool keepdims = false);

// Largest and smallest element along one axis and its first place. The gradient goes to that place
// alone (max and min share it among ties).
RUTILE_API ValuesIndices max_with_index(Arg x, int64_t axis, bool keepdims = false);
RUTILE_API ValuesIndices min_with_index(Arg x, int64_t axis, bool keepdims = false);

// ---- Quantiles --------------------------------------------------------------------------------

}  // namespace rutile::ops

namespace rutile {
// What a quantile between two elements is.
enum class QuantileMode : uint8_t { kLinear, kLower, kHigher, kMidpoint, kNearest };
template <>
struct EnumNames<QuantileMode> {
  static constexpr const char* value[] = {"linear", "lower", "higher", "midpoint", "nearest"};
};
}  // namespace rutile

namespace rutile::ops {

struct QuantileAttrs {
  Dims axes = {};  // one axis, or none: of all
  bool keepdims = false;
  QuantileMode interpolation = QuantileMode::kLinear;
  RUTILE_REFLECT(axes, keepdims, interpolation)
};
// The quantiles q, 0-d or [n], each in [0, 1] (else an error): element q (size - 1) of the sorted
// line. Result: q's dimension in front of the reduced shape. Floats only. NaN where there is one;
// nanquantile leaves NaNs out.
extern RUTILE_API const OpDef kQuantile;
RUTILE_API Tensor quantile(Arg x, Arg q, QuantileAttrs attrs = {});
RUTILE_API Tensor quantile(Arg x, double q, QuantileAttrs attrs = {});
extern RUTILE_API const OpDef kNanquantile;
RUTILE_API Tensor nanquantile(Arg x, Arg q, QuantileAttrs attrs = {});
RUTILE_API Tensor nanquantile(Arg x, double q, QuantileAttrs attrs = {});

// ---- Searching --------------------------------------------------------------------------------

struct SearchsortedAttrs {
  bool right = false;      // behind elements equal to the value, not in front of them
  bool out_int32 = false;  // i32 places instead of i64
  RUTILE_REFLECT(right, out_int32)
};
// Where values would go into sorted lines to keep them sorted, in [0, n]. sorted [n] with values of
// any shape, or sorted [.., n] with values [.., m].
extern RUTILE_API const OpDef kSearchsorted;
RUTILE_API Tensor searchsorted(Arg sorted, Arg values, SearchsortedAttrs attrs = {});
// searchsorted(boundaries, x) for boundaries [n].
extern RUTILE_API const OpDef kBucketize;
RUTILE_API Tensor bucketize(Arg x, Arg boundaries, SearchsortedAttrs attrs = {});

struct IsinAttrs {
  bool invert = false;
  RUTILE_REFLECT(invert)
};
// Is each element of x among those of `tests`; bool, of x's shape.
extern RUTILE_API const OpDef kIsin;
RUTILE_API Tensor isin(Arg x, Arg tests, bool invert = false);

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
// Running results along an axis, differences and integrals. cumsum is in reduce.h.
//
//   Tensor p = ops::cumprod(x, 1);                  // f32[8,5] -> f32[8,5]
//   auto [top, where] = ops::cummax(x, -1);
//
// A wrong axis is kIndex, complex numbers are kType.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/index.h"

namespace rutile::ops {

struct ScanAttrs {
  int64_t axis = -1;
  RUTILE_REFLECT(axis)
};
// Running products; integers and bool give i64 (u64 gives u64) and wrap. The gradient holds at
// zeros too.
extern RUTILE_API const OpDef kCumprod;
RUTILE_API Tensor cumprod(Arg x, int64_t axis = -1);
// Running maximum and minimum and where they stand (i64): the last place among equal ones. NaN
// stays from where it stands.
extern RUTILE_API const OpDef kCummax;
RUTILE_API ValuesIndices cummax(Arg x, int64_t axis = -1);
extern RUTILE_API const OpDef kCummin;
RUTILE_API ValuesIndices cummin(Arg x, int64_t axis = -1);

struct LogcumsumexpAttrs {
  int64_t axis = -1;
  bool reverse = false;  // from the end
  RUTILE_REFLECT(axis, reverse)
};
// log(cumsum(exp(x))) without overflow. Floats only.
extern RUTILE_API const OpDef kLogcumsumexp;
RUTILE_API Tensor logcumsumexp(Arg x, LogcumsumexpAttrs attrs = {});

struct DiffAttrs {
  int64_t n = 1;
  int64_t axis = -1;
  RUTILE_REFLECT(n, axis)
};
// x[i + 1] - x[i] along the axis, n times over; bool: whether they differ.
extern RUTILE_API const OpDef kDiff;
RUTILE_API Tensor diff(Arg x, DiffAttrs attrs = {});

struct TrapezoidAttrs {
  double dx = 1;  // the distance of the points where x is not given
  int64_t axis = -1;
  RUTILE_REFLECT(dx, axis)
};
// The integral over the axis by the trapezoidal rule; x: the points, of shape [n] or one that
// broadcasts to y's beside the axis. Floats only.
extern RUTILE_API const OpDef kTrapezoid;
RUTILE_API Tensor trapezoid(Arg y, TrapezoidAttrs attrs = {});
RUTILE_API Tensor trapezoid(Arg y, Arg x, int64_t axis = -1);
// What it adds up, for `points` or none.
Tensor trapezoid_areas(const Tensor& y, const Tensor& points, const TrapezoidAttrs& attrs);

}  // namespace rutile::ops

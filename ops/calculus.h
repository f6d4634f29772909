// SPDX-License-Identifier: Apache-2.0
// Differences and integrals of sampled functions, and histograms. See scan.h for diff and
// trapezoid.
//
//   Tensor g = ops::gradient(y, {.spacing = 0.1, .axis = 1});   // f32[8,50] -> f32[8,50]
//   auto [counts, edges] = ops::histogram(x, {.bins = 10});     // f32[10], f32[11]
//
// A wrong axis is kIndex, a wrong shape kValue, a wrong dtype kType.
#pragma once

#include <vector>

#include "rutile/ops/call.h"
#include "rutile/ops/scan.h"

namespace rutile::ops {

struct GradientAttrs {
  double spacing = 1;  // of the points where coordinates are not given
  int64_t axis = -1;
  int64_t edge_order = 1;  // 1 or 2: the order of the error at both ends
  RUTILE_REFLECT(spacing, axis, edge_order)
};
// The slope of x along an axis by central differences of second order, one-sided ones at the ends
// (numpy.gradient): in x's shape. coordinates [n]: the points, else they are `spacing` apart. The
// axis has at least edge_order + 1 elements. Integers and bool give f32.
extern RUTILE_API const OpDef kGradient;
RUTILE_API Tensor gradient(Arg x, GradientAttrs attrs = {}, const Tensor& coordinates = {});

// The running sums of the areas that trapezoid adds up: the axis loses one element.
extern RUTILE_API const OpDef kCumulativeTrapezoid;
RUTILE_API Tensor cumulative_trapezoid(Arg y, TrapezoidAttrs attrs = {});
RUTILE_API Tensor cumulative_trapezoid(Arg y, Arg x, int64_t axis = -1);

struct HistogramAttrs {
  int64_t bins = 100;
  double min = 0, max = 0;  // both 0: those of x
  bool density = false;     // the sum of counts times widths is 1
  RUTILE_REFLECT(bins, min, max, density)
};
struct Histogram {
  Tensor counts, edges;
};
// How many elements of x (floats), or how much weight (of x's shape), lie in each bin [edge i, edge
// i + 1), the last one closed. edges [bins + 1], ascending, or `bins` equal ones from min to max.
// Others are not counted. Both results have x's dtype.
extern RUTILE_API const OpDef kHistogram;
RUTILE_API Histogram histogram(Arg x, HistogramAttrs attrs = {}, const Tensor& edges = {},
                               const Tensor& weight = {});

}  // namespace rutile::ops

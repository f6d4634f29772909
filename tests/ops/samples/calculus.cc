// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/calculus.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kIndex = ErrorCode::kIndex;

RUTILE_SAMPLES(gradient) {
  const Input points = in({5}).values({0.1, 0.5, 1.2, 1.4, 2.3});
  for (const int64_t order : {1, 2}) {
    s.add({in({3, 5})}, GradientAttrs{0.5, 1, order}).dtypes(kNumbers);
    s.add({in({5, 2}).transposed(), points}, GradientAttrs{1, 0, order}).dtypes(kFloats);
    s.add({in({order + 1})}, GradientAttrs{1, -1, order});
  }
  s.add({bool_in({4})}, GradientAttrs{});
  s.add({in({0, 3})}, GradientAttrs{}).name("empty");
  s.error({in({1})}, GradientAttrs{}, kValue, "expects 2 elements");
  s.error({in({4})}, GradientAttrs{1, -1, 3}, kValue, "edge_order");
  s.error({in({4}), in({3})}, GradientAttrs{}, kValue, "coordinates expects");
  s.error({in({})}, GradientAttrs{}, kIndex, "no axes");
  s.add({in({3, 5})}, GradientAttrs{0.5, 1}).dtypes(kComplexes).no_second_order("the op is linear");
}

RUTILE_SAMPLES(cumulative_trapezoid) {
  s.add({in({3, 5})}, TrapezoidAttrs{}).dtypes(kFloats);
  s.add({in({4, 3}).transposed()}, TrapezoidAttrs{0.5, 0});
  s.add({in({3, 5}), in({5})}, TrapezoidAttrs{});
  s.add({in({3, 5}), in({1, 5})}, TrapezoidAttrs{});
  s.add({in({3, 5}), in({3, 5})}, TrapezoidAttrs{1, 0});
  s.add({in({3, 1})}, TrapezoidAttrs{}).name("one point");
  s.add({in({3, 0})}, TrapezoidAttrs{}).name("no points");
  s.error({in({3, 5}), in({4})}, TrapezoidAttrs{}, kValue, "x expects shape");
  s.error({in({3})}, TrapezoidAttrs{1, 1}, kIndex, "axis 1");
  s.add({in({3, 4}).ints(-9, 9)}, TrapezoidAttrs{}).dtypes(kInts).name("integers");
  s.error({bool_in({3})}, TrapezoidAttrs{}, kType, "numbers");
}

RUTILE_SAMPLES(histogram) {
  const Input edges = in({4}).values({-1.5, -0.2, 0.3, 1.1});
  s.add({in({4, 9})}, HistogramAttrs{.bins = 5}).dtypes(kFloats);
  s.add({in({9}).values({-2, -1, 0, 1, 2, 0.5})}, HistogramAttrs{.bins = 4, .min = -2, .max = 2});
  s.add({in({4, 9}).gaps(), edges}, HistogramAttrs{}).dtypes(kFloats);
  s.add({in({9}), edges, in({9})}, HistogramAttrs{.density = true});
  s.add({in({3}).values({2})}, HistogramAttrs{.bins = 3}).name("all alike");
  s.add({in({0})}, HistogramAttrs{.bins = 3, .min = 0, .max = 1}).name("empty");
  s.error({in({3})}, HistogramAttrs{.bins = 0}, kValue, "bins >= 1");
  s.add({in({0})}, HistogramAttrs{.bins = 3}).name("empty, no range");
  s.error({in({3}), in({1})}, HistogramAttrs{}, kValue, "edges expects");
  s.error({in({3}), edges, in({4})}, HistogramAttrs{}, kValue, "weight expects");
  s.error({in({3}).as(DType::kI32)}, HistogramAttrs{}, kType, "floats");
}

}  // namespace
}  // namespace rutile::samples

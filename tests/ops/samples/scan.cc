// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/scan.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kIndex = ErrorCode::kIndex;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;

void scan_errors(SampleList& s) {
  s.add({in({})}, ScanAttrs{0}).name("number").no_second_order("constant");
  s.error({in({})}, ScanAttrs{1}, kIndex, "axis 1");
  s.error({in({3})}, ScanAttrs{1}, kIndex, "axis 1");
}

RUTILE_SAMPLES(cumprod) {
  s.add({in({3, 5}).uniform(0.5, 1.5)}, ScanAttrs{}).dtypes(kComplexes);
  s.add({in({4, 5}).uniform(0.5, 1.5).transposed()}, ScanAttrs{0}).dtypes({DType::kC64});
  s.add({in({2, 700}).values({0.6, 0.8, -0.8, 0.6, 1, 0})}, ScanAttrs{1})
      .dtypes(kComplexes)
      .tolerance(DType::kC64, 1e-4)
      .no_gradient("a long run for kernels");
  s.add({in({3, 5}).uniform(0.5, 1.5)}, ScanAttrs{}).dtypes(kFloats);
  s.add({in({3, 5})}, ScanAttrs{0}).dtypes(joined(kInts, {DType::kBool}));
  s.add({in({2, 5}).values({2, 0, 3, -1, 2, 1, 2, 0, 0, 3})}, ScanAttrs{})
      .name("zeros")
      .no_second_order("not at zeros");
  s.add({in({3, 70, 65}).uniform(0.9, 1.1)}, ScanAttrs{1}).tolerance(DType::kF32, 1e-4);
  s.add({in({4, 5}).uniform(0.5, 1.5).transposed()}, ScanAttrs{0});
  s.add({in({3, 0})}, ScanAttrs{}).name("empty");
  s.add({in({0, 3})}, ScanAttrs{}).name("empty");
  scan_errors(s);
}

#define RUTILE_EXTREME_SAMPLES(op)                                                         \
  RUTILE_SAMPLES(op) {                                                                     \
    s.add({in({3, 5}).distinct()}, ScanAttrs{}).dtypes(kFloats);                           \
    s.add({in({3, 9}).ints(0, 3)}, ScanAttrs{}).dtypes(kEveryType).no_gradient("ties");    \
    s.add({in({11}).filled(specials())}, ScanAttrs{}).dtypes(kFloats).no_gradient("ties"); \
    s.add({in({3, 40, 70}).distinct(-900, 900)}, ScanAttrs{1});                            \
    s.add({in({4, 5}).distinct().transposed()}, ScanAttrs{0});                             \
    s.add({in({3, 0})}, ScanAttrs{}).name("empty");                                        \
    s.add({in({0, 3})}, ScanAttrs{}).name("empty");                                        \
    scan_errors(s);                                                                        \
    s.error({in({3}).as(DType::kC64)}, ScanAttrs{}, kType, "complex");                     \
  }
RUTILE_EXTREME_SAMPLES(cummax)
RUTILE_EXTREME_SAMPLES(cummin)

RUTILE_SAMPLES(logcumsumexp) {
  s.add({in({3, 5})}, LogcumsumexpAttrs{}).dtypes(kFloats);
  s.add({in({3, 5})}, LogcumsumexpAttrs{0, true});
  s.add({in({4, 6}).uniform(-900, 900)}, LogcumsumexpAttrs{}).name("far apart");
  s.add({in({11}).filled(specials())}, LogcumsumexpAttrs{}).dtypes(kFloats).no_gradient("NaN");
  s.add({in({4, 5}).transposed()}, LogcumsumexpAttrs{});
  s.add({in({2, 300, 70})}, LogcumsumexpAttrs{1});
  s.add({in({3, 0})}, LogcumsumexpAttrs{}).name("empty");
  s.add({in({})}, LogcumsumexpAttrs{}).name("number").no_second_order("constant");
  s.error({in({3})}, LogcumsumexpAttrs{1}, kIndex, "axis 1");
  s.error({in({3}).as(DType::kI32)}, LogcumsumexpAttrs{}, kType, "floats");
}

RUTILE_SAMPLES(diff) {
  s.add({in({3, 5})}, DiffAttrs{}).dtypes(kComplexes).no_second_order("the op is linear");
  s.add({in({3, 5})}, DiffAttrs{}).dtypes(kEveryType);
  s.add({in({5, 3})}, DiffAttrs{2, 0});
  s.add({in({5})}, DiffAttrs{0}).name("none");
  s.add({in({5})}, DiffAttrs{7}).name("more than there are");
  s.add({in({3, 0})}, DiffAttrs{}).name("empty");
  s.add({in({2, 6, 3, 4}).channels_last()}, DiffAttrs{1, 1});
  s.error({in({3})}, DiffAttrs{-1}, kValue, "n >= 0");
  s.error({in({3})}, DiffAttrs{1, 1}, kIndex, "axis 1");
  s.error({in({})}, DiffAttrs{}, kIndex, "0-d");
}

RUTILE_SAMPLES(trapezoid) {
  s.add({in({3, 5}), in({5})}, TrapezoidAttrs{}).dtypes(kComplexes);
  s.add({in({3, 5})}, TrapezoidAttrs{0.5}).dtypes(kFloats);
  s.add({in({3, 5}), in({5})}, TrapezoidAttrs{}).dtypes(kFloats);
  s.add({in({3, 5}), in({3, 5})}, TrapezoidAttrs{1, 0});
  s.add({in({3, 5}), in({3})}, TrapezoidAttrs{1, 0});
  s.add({in({3, 5}), in({1, 5})}, TrapezoidAttrs{});
  s.add({in({3, 0})}, TrapezoidAttrs{}).name("empty");
  s.add({in({3, 1})}, TrapezoidAttrs{}).name("one point");
  s.error({in({3}), in({4})}, TrapezoidAttrs{}, kValue, "x expects shape");
  s.error({in({3})}, TrapezoidAttrs{1, 1}, kIndex, "axis 1");
  s.add({in({3, 4}).ints(-9, 9)}, TrapezoidAttrs{}).dtypes(kInts).name("integers");
  s.error({bool_in({3})}, TrapezoidAttrs{}, kType, "numbers");
}

}  // namespace
}  // namespace rutile::samples

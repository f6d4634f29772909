// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/activation.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr const char* kPiecewise = "piecewise linear";

void float_errors(SampleList& s) {
  s.error({in({2}).as(DType::kC64)}, kType, "complex");
  s.error({in({2}).as(DType::kI32)}, kType, "floats");
}
Input key() { return in({1}).as(DType::kU64).ints(1, 1000); }

RUTILE_SAMPLES(selu) {
  s.unary(kFloats, away_from({0}));
  float_errors(s);
}
RUTILE_SAMPLES(mish) {
  s.unary(kFloats);
  s.add({in({6}).values({-100, -30, 19, 21, 60, 1e4})}).dtypes(kFloats).no_gradient("flat");
  float_errors(s);
}
RUTILE_SAMPLES(softsign) {
  s.unary(kFloats, away_from({0}));
  s.complex_unary(away_from({0}));
  s.error({in({3}).as(DType::kI32)}, ErrorCode::kType, "floats");
}
RUTILE_SAMPLES(logsigmoid) {
  s.unary(kFloats);
  float_errors(s);
}
RUTILE_SAMPLES(tanhshrink) {
  s.unary(kFloats);
  s.add({in({3, 5})}).dtypes(kComplexes);
  s.add({in({7}).ints(0, 9)}).dtypes(kInts).name("integers");
  s.add({bool_in({7})}).name("bool");
  s.error({}, kValue, "inputs, got 0");
}
RUTILE_SAMPLES(celu) {
  s.unary(kFloats, away_from({0}), CeluAttrs{1.3});
  s.add({in({5}).away_from({0})}, CeluAttrs{-0.5});
  s.error({in({2})}, CeluAttrs{0}, kValue, "other than 0");
  s.error({in({2}).as(DType::kI32)}, CeluAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(hardtanh) {
  s.unary(kNumbers, away_from({-1, 0.7}), HardtanhAttrs{-1, 0.7}).no_second_order(kPiecewise);
  s.error({in({2})}, HardtanhAttrs{1, 0}, kValue, "min_val <= max_val");
  s.error({bool_in({2})}, HardtanhAttrs{}, kType, "bool");
}
RUTILE_SAMPLES(threshold) {
  s.unary(kNumbers, away_from({0.5}), ThresholdAttrs{0.5, -3}).no_second_order(kPiecewise);
  s.error({in({2})}, ThresholdAttrs{std::nan(""), 0}, kValue, "NaN");
  s.error({bool_in({2})}, ThresholdAttrs{}, kType, "bool");
}
RUTILE_SAMPLES(softshrink) {
  s.unary(kFloats, away_from({-0.5, 0.5}), ShrinkAttrs{}).no_second_order(kPiecewise);
  s.error({in({2})}, ShrinkAttrs{-1}, kValue, "lambd >= 0");
}
RUTILE_SAMPLES(hardshrink) {
  s.unary(kFloats, away_from({-0.7, 0.7}), ShrinkAttrs{0.7}).no_second_order(kPiecewise);
  s.add({in({7})}, ShrinkAttrs{-1}).name("nothing is near").no_second_order(kPiecewise);
  s.error({in({2})}, ShrinkAttrs{std::nan("")}, kValue, "lambd >= 0");
}
RUTILE_SAMPLES(prelu) {
  for (const int64_t c : {1, 6, 37}) {
    s.add({in({2, c, 3, 4}).away_from({0}), in({c})}).dtypes(kFloats);
    s.add({in({2, c, 3, 4}).away_from({0}).channels_last(), in({c})});
  }
  s.add({in({5, 3}).away_from({0}), in({1})});
  s.add({in({5}).away_from({0}), in({})}).name("one for all");
  s.add({in({}).values({-1}), in({1})}).name("0-d");
  s.add({in({0, 3}), in({3})}).name("empty");
  s.add({in({2, 3}).away_from({0}).as(DType::kBF16), in({3}).as(DType::kF32)}).name("promotion");
  s.error({in({2, 3}), in({2})}, kValue, "weight expects");
  s.error({in({2, 3}), in({3, 1})}, kValue, "weight expects");
  s.error({in({2}).as(DType::kI32), in({1}).as(DType::kI32)}, kType, "floats");
}
RUTILE_SAMPLES(rrelu) {
  s.add({key(), in({3, 7}).away_from({0})}, RreluAttrs{}).dtypes(kFloats);
  s.add({key(), in({3, 7}).away_from({0})}, RreluAttrs{0.2, 0.2}).name("one slope");
  s.add({key(), in({2, 6, 3, 3}).away_from({0}).channels_last()}, RreluAttrs{});
  s.add({key(), in({0, 7})}, RreluAttrs{}).name("empty");
  s.error({key(), in({3})}, RreluAttrs{0.3, 0.2}, kValue, "lower <= upper");
  s.error({in({1}), in({3})}, RreluAttrs{}, kType, "u64");
  s.error({in({2}).as(DType::kU64), in({3})}, RreluAttrs{}, kValue, "one element");
  s.error({key(), in({3}).as(DType::kI32)}, RreluAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(glu) {
  s.add({in({3, 8})}, GluAttrs{}).dtypes(kFloats);
  s.add({in({2, 6, 3, 3})}, GluAttrs{1});
  s.add({in({2, 6, 3, 3}).channels_last()}, GluAttrs{1});
  s.add({in({3, 0})}, GluAttrs{1}).name("empty");
  s.error({in({3, 5})}, GluAttrs{}, kValue, "even size");
  s.error({in({})}, GluAttrs{}, ErrorCode::kIndex, "0-d");
  s.error({in({4}).as(DType::kI32)}, GluAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(softmin) {
  s.add({in({3, 8})}, SoftminAttrs{}).dtypes(kFloats);
  s.add({in({2, 5, 3})}, SoftminAttrs{1});
  s.add({in({3, 0})}, SoftminAttrs{}).name("empty");
  s.error({in({3, 5})}, SoftminAttrs{2}, ErrorCode::kIndex, "axis 2");
  s.error({in({4}).as(DType::kI32)}, SoftminAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(gumbel_softmax) {
  s.add({key(), in({3, 8})}, GumbelSoftmaxAttrs{}).dtypes(kFloats);
  s.add({key(), in({2, 5, 3})}, GumbelSoftmaxAttrs{.tau = 0.5, .axis = 1});
  s.add({key(), in({3, 8})}, GumbelSoftmaxAttrs{.hard = true})
      .no_gradient("that of the soft sample")
      .dtypes({DType::kF32, DType::kF64});
  s.add({key(), in({3, 0})}, GumbelSoftmaxAttrs{}).name("empty");
  s.error({key(), in({3})}, GumbelSoftmaxAttrs{.tau = 0}, kValue, "tau > 0");
  s.error({key(), in({3})}, GumbelSoftmaxAttrs{.axis = 1}, ErrorCode::kIndex, "axis 1");
  s.error({in({1}), in({3})}, GumbelSoftmaxAttrs{}, kType, "u64");
}

}  // namespace
}  // namespace rutile::samples

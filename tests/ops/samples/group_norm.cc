// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/group_norm.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

const DTypes kLow{DType::kBF16, DType::kF16};

struct Case {
  Shape x;
  int64_t groups;
};
const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {{2, 6, 3, 4}, 3},  {{1, 37, 2, 2}, 37},  {{2, 4, 5}, 1},     {{3, 8}, 2},
      {{2, 40, 3, 3}, 2}, {{1, 6, 2, 3, 2}, 2}, {{2, 16, 9, 8}, 4}, {{0, 6, 2, 2}, 3},
      {{2, 6, 0, 2}, 3},  {{2, 0, 2}, 1},
  };
  return list;
}

void add(SampleList& s, std::vector<Input> inputs, const auto& a, const DTypes& types,
         const char* no_gradient = "") {
  const bool large = inputs[0].shape.numel() > 300;
  s.add(std::move(inputs), a)
      .dtypes(types)
      .tolerance(DType::kF32, 1e-4)
      .no_gradient(large ? "checked on smaller shapes" : no_gradient);
}
Input f32(const Shape& s) { return in(s).as(DType::kF32); }

}  // namespace

RUTILE_SAMPLES(group_norm) {
  for (const Case& c : cases()) {
    const GroupNormAttrs a{c.groups};
    const Shape channels{c.x[1]};
    add(s, {in(c.x), in(channels), in(channels)}, a, kFloats);
    add(s, {in(c.x)}, a, kFloats);
    add(s, {in(c.x), f32(channels), f32(channels)}, a, kLow);
  }
  for (const int64_t c : {6, 40, 74}) {
    const Input x = in({2, c, 3, 5}).channels_last();
    add(s, {x, in({c}), in({c})}, GroupNormAttrs{2}, kFloats);
    add(s, {x, f32({c}), f32({c})}, GroupNormAttrs{2}, kLow);
  }
  add(s, {in({2, 6, 3, 4}).gaps(), in({6}).gaps(), in({6})}, GroupNormAttrs{3}, kFloats);
  add(s, {in({2, 6, 3, 4}), none(), in({6})}, GroupNormAttrs{3, 0.1}, kFloats);
  s.add({in({2, 8, 16, 8}).uniform(1000, 1001)}, GroupNormAttrs{2})
      .name("large mean")
      .tolerance(DType::kF32, 2e-3)
      .no_gradient("cancellation leaves too few digits for differences");
  s.error({in({5})}, GroupNormAttrs{}, ErrorCode::kValue, "[n,c,...]");
  s.error({in({5, 6})}, GroupNormAttrs{4}, ErrorCode::kValue, "does not divide 6 channels");
  s.error({in({5, 6})}, GroupNormAttrs{0}, ErrorCode::kValue, "num_groups must be positive");
  s.error({in({5, 6})}, GroupNormAttrs{2, std::nan("")}, ErrorCode::kValue, "eps");
  s.error({in({5, 6}), in({5})}, GroupNormAttrs{2}, ErrorCode::kValue, "weight expects shape [6]");
  s.error({in({5, 6}).as(DType::kI32)}, GroupNormAttrs{2}, ErrorCode::kType, "floating");
  s.error({in({5, 6}), in({6}).as(DType::kF64)}, GroupNormAttrs{2}, ErrorCode::kType,
          "weight expects f32");
}

RUTILE_SAMPLES(group_norm_grad) {
  for (const Case& c : cases()) {
    const GroupNormAttrs a{c.groups};
    const Shape channels{c.x[1]}, stats{c.x[0], c.groups};
    const Input mean = in(stats), rstd = in(stats).positive();
    add(s, {in(c.x), in(c.x), mean, rstd, in(channels)}, a, {DType::kF32, DType::kF64});
    add(s, {in(c.x), in(c.x), mean, rstd}, a, {DType::kF32});
    add(s, {in(c.x), in(c.x), mean.as(DType::kF32), rstd.as(DType::kF32), f32(channels)}, a, kLow,
        "of mixed types");
  }
  const Input x = in({2, 40, 3, 5}).channels_last();
  add(s, {x, x, in({2, 2}), in({2, 2}).positive(), in({40})}, GroupNormAttrs{2}, {DType::kF32});
  s.error({in({2, 6}), in({2, 6}), in({2, 3}), in({2, 2})}, GroupNormAttrs{2}, ErrorCode::kValue,
          "mean expects f32[2,2]");
  s.error({in({2, 5}), in({2, 6}), in({2, 2}), in({2, 2})}, GroupNormAttrs{2}, ErrorCode::kValue,
          "dy and x must agree");
}

RUTILE_SAMPLES(instance_norm) {
  for (const Shape& x : {Shape{2, 6, 3, 4}, {1, 37, 5}, {2, 3, 2, 2, 3}, {0, 3, 4}, {2, 0, 4}}) {
    add(s, {in(x), in({x[1]}), in({x[1]})}, InstanceNormAttrs{}, kFloats);
  }
  add(s, {in({2, 6, 3, 4}).channels_last()}, InstanceNormAttrs{0.1}, kFloats);
  s.error({in({5, 6})}, InstanceNormAttrs{}, ErrorCode::kValue, "[n,c,l,...], got [5,6]");
  s.error({in({5, 6, 2}), in({5})}, InstanceNormAttrs{}, ErrorCode::kValue, "weight expects");
  s.error({in({5, 6, 2})}, InstanceNormAttrs{std::nan("")}, ErrorCode::kValue, "eps");
}

RUTILE_SAMPLES(local_response_norm) {
  for (const int64_t size : {1, 2, 5}) {
    const LocalResponseNormAttrs a{size, 0.5, 0.75, 1.5};
    for (const Shape& x : {Shape{2, 7, 4}, {1, 6, 3, 4}, {1, 3, 2, 3, 2}, {0, 3, 4}, {2, 0, 4}}) {
      s.add({in(x)}, a).dtypes(kFloats).tolerance(DType::kF32, 1e-4);
    }
  }
  s.add({in({2, 6, 3, 4}).channels_last()}).tolerance(DType::kF32, 1e-4);
  s.error({in({2, 3})}, ErrorCode::kValue, "rank 3 to 5");
  s.error({in({2, 3, 4})}, LocalResponseNormAttrs{0}, ErrorCode::kValue, "size must be");
  s.error({in({2, 3, 4}).as(DType::kI32)}, ErrorCode::kType, "floating");
}

}  // namespace rutile::samples

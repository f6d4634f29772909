// SPDX-License-Identifier: Apache-2.0
// Samples of random ops. What the numbers are like is tested in tests/ops/random_test.cc.
#include "rutile/ops/random.h"

#include <cmath>
#include <cstdint>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

const std::vector<Shape> kShapes = {{}, {0}, {1}, {5}, {2, 3}, {67, 1033}};

Input key() { return in({1}).as(DType::kU64).values({12345}); }

// A key of another type or size, and an impossible shape.
template <class A>
void key_errors(SampleList& s, A a) {
  s.error({in({1})}, a, ErrorCode::kType, "u64");
  s.error({in({2}).as(DType::kU64)}, a, ErrorCode::kValue, "one element");
  a.shape = {2, -1};
  s.error({key()}, a, ErrorCode::kValue, "");
}

RUTILE_SAMPLES(next_key) {
  s.add({in({2}).as(DType::kU64).values({7, 3})});
  s.error({in({2})}, ErrorCode::kType, "u64[2]");
  s.error({in({3}).as(DType::kU64)}, ErrorCode::kValue, "u64[2]");
}
RUTILE_SAMPLES(random_uniform) {
  for (const DType t : kFloats) {
    for (const Shape& shape : kShapes) s.add({key()}, RandomUniformAttrs{shape, 0, 1, t});
    s.add({key()}, RandomUniformAttrs{{1001}, -3, 0, t});
    s.add({key()}, RandomUniformAttrs{{1001}, 1000, 1001, t});
  }
  key_errors(s, RandomUniformAttrs{{2}});
  s.error({key()}, RandomUniformAttrs{{2}, 1, 1}, ErrorCode::kValue, "low < high");
  s.error({key()}, RandomUniformAttrs{{2}, 0, HUGE_VAL}, ErrorCode::kValue, "finite");
  s.error({key()}, RandomUniformAttrs{{2}, 0, 1, DType::kI32}, ErrorCode::kType, "floats");
}
RUTILE_SAMPLES(random_normal) {
  for (const DType t : kFloats) {
    for (const Shape& shape : kShapes) s.add({key()}, RandomNormalAttrs{shape, 0, 1, t});
    s.add({key()}, RandomNormalAttrs{{1001}, 5, 0.1, t});
    s.add({key()}, RandomNormalAttrs{{11}, 5, 0, t});
  }
  key_errors(s, RandomNormalAttrs{{2}});
  s.error({key()}, RandomNormalAttrs{{2}, 0, -1}, ErrorCode::kValue, "std >= 0");
  s.error({key()}, RandomNormalAttrs{{2}, std::nan(""), 1}, ErrorCode::kValue, "finite");
  s.error({key()}, RandomNormalAttrs{{2}, 0, 1, DType::kBool}, ErrorCode::kType, "floats");
}
RUTILE_SAMPLES(truncated_normal) {
  for (const DType t : kFloats) {
    for (const Shape& shape : kShapes) s.add({key()}, TruncatedNormalAttrs{shape, 0, 1, -2, 2, t});
    s.add({key()}, TruncatedNormalAttrs{{1001}, 5, 0.1, 0, HUGE_VAL, t});
  }
  key_errors(s, TruncatedNormalAttrs{{2}});
  s.error({key()}, TruncatedNormalAttrs{{2}, 0, 1, 2, -2}, ErrorCode::kValue, "lower < upper");
  s.error({key()}, TruncatedNormalAttrs{{2}, 0, 1, 9, 10}, ErrorCode::kValue, "lower <= 5");
  s.error({key()}, TruncatedNormalAttrs{{2}, 0, 1, -2, 2, DType::kI8}, ErrorCode::kType, "floats");
}
RUTILE_SAMPLES(random_randint) {
  for (const DType t : kInts) {
    for (const Shape& shape : kShapes) s.add({key()}, RandomRandintAttrs{shape, 0, 100, t});
  }
  s.add({key()}, RandomRandintAttrs{{99}, -128, 128, DType::kI8});
  s.add({key()}, RandomRandintAttrs{{99}, INT64_MIN, INT64_MAX, DType::kI64});
  s.add({key()}, RandomRandintAttrs{{9}, 5, 6});
  key_errors(s, RandomRandintAttrs{{2}});
  s.error({key()}, RandomRandintAttrs{{2}, 3, 3}, ErrorCode::kValue, "low < high");
  s.error({key()}, RandomRandintAttrs{{2}, -1, 3, DType::kU8}, ErrorCode::kValue, "does not fit");
  s.error({key()}, RandomRandintAttrs{{2}, 0, 257, DType::kU8}, ErrorCode::kValue, "does not fit");
  s.error({key()}, RandomRandintAttrs{{2}, 0, 2, DType::kF32}, ErrorCode::kType, "integers");
}
RUTILE_SAMPLES(random_bernoulli) {
  for (const DType t : kEveryType) {
    for (const Shape& shape : kShapes) s.add({key()}, RandomBernoulliAttrs{shape, 0.3, t});
  }
  s.add({key()}, RandomBernoulliAttrs{{1001}, 0});
  s.add({key()}, RandomBernoulliAttrs{{1001}, 1});
  key_errors(s, RandomBernoulliAttrs{{2}});
  s.error({key()}, RandomBernoulliAttrs{{2}, 1.5}, ErrorCode::kValue, "[0, 1]");
  s.error({key()}, RandomBernoulliAttrs{{2}, std::nan("")}, ErrorCode::kValue, "[0, 1]");
  s.error({key()}, RandomBernoulliAttrs{{2}, 0.5, DType::kC64}, ErrorCode::kType, "complex");
}
RUTILE_SAMPLES(dropout) {
  for (const double p : {0.0, 0.3, 1.0}) {
    s.add({key(), in({3, 50})}, DropoutAttrs{p})
        .dtypes(kFloats)
        .no_second_order("the op is linear");
  }
  for (const Shape& shape : kShapes) {
    s.add({key(), in(shape)}, DropoutAttrs{0.4})
        .dtypes(kFloats)
        .no_gradient("the sample above checks it");
  }
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({key(), in({3, 4, 5}).viewed(v)}, DropoutAttrs{}).no_second_order("the op is linear");
  }
  s.add({key(), in({2, 37, 3, 4}).channels_last()}, DropoutAttrs{})
      .no_second_order("the op is linear");
  s.error({key(), in({3})}, DropoutAttrs{1.1}, ErrorCode::kValue, "[0, 1]");
  s.error({key(), in({3}).as(DType::kI32)}, DropoutAttrs{}, ErrorCode::kType, "floats");
  s.error({in({1}), in({3})}, DropoutAttrs{}, ErrorCode::kType, "u64");
}

}  // namespace
}  // namespace rutile::samples

// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/fractional_pool.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;

Input drawn(const Shape& shape) { return in(shape).as(DType::kF32).uniform(0, 1).constant(); }

RUTILE_SAMPLES(fractional_max_pool2d) {
  using A = FractionalPool2dAttrs;
  s.add({in({2, 3, 7, 6}).distinct(), drawn({2, 3, 2})}, A{2, {3, 4}})
      .dtypes(kFloats)
      .no_second_order("piecewise linear");
  s.add({in({2, 6, 5, 5}).distinct().channels_last(), drawn({2, 6, 2})}, A{{1, 3}, 1})
      .no_second_order("piecewise linear");
  s.add({in({3, 5, 5}).distinct(), drawn({3, 2})}, A{2, 4}).no_second_order("piecewise linear");
  s.add({in({0, 3, 5, 5}), drawn({0, 3, 2})}, A{2, 3}).name("empty");
  s.error({in({2, 3, 7, 6}), drawn({2, 3, 3})}, A{2, 3}, kValue, "samples expects shape");
  s.error({in({2, 3, 7, 6}), drawn({2, 3, 2})}, A{2, 6}, kValue, "cannot place");
  s.error({in({7, 6}), drawn({2})}, A{2, 3}, kValue, "rank 3 or 4");
  s.error({in({3, 7, 6}).as(DType::kI32), drawn({3, 2})}, A{2, 3}, kType, "floats");
}
RUTILE_SAMPLES(fractional_max_pool3d) {
  using A = FractionalPool3dAttrs;
  s.add({in({2, 2, 4, 5, 6}).distinct(), drawn({2, 2, 3})}, A{{2, 1, 3}, {2, 4, 3}})
      .dtypes(kFloats)
      .no_second_order("piecewise linear");
  s.add({in({2, 4, 4, 4}).distinct(), drawn({2, 3})}, A{2, 2}).no_second_order("piecewise linear");
  s.add({in({1, 0, 4, 4, 4}), drawn({1, 0, 3})}, A{2, 3}).name("empty");
  s.error({in({2, 4, 4, 4}), drawn({2, 2})}, A{2, 2}, kValue, "samples expects shape");
  s.error({in({2, 4, 4, 4}), drawn({2, 3})}, A{5, 1}, kValue, "cannot place");
  s.error({in({2, 4, 4, 4}), index_in({2, 3}, 0, 1)}, A{2, 2}, kType, "samples expects floats");
}

}  // namespace
}  // namespace rutile::samples

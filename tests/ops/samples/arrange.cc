// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/arrange.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kIndex = ErrorCode::kIndex;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;

RUTILE_SAMPLES(diagonal) {
  for (const int64_t offset : {0, 1, -2, 4, -9}) {
    s.add({in({3, 5})}, DiagonalAttrs{offset}).dtypes(kEveryType);
  }
  s.add({in({2, 3, 4})}, DiagonalAttrs{1, 2, 0});
  s.add({in({2, 3, 4, 5})}, DiagonalAttrs{-1, -1, 1});
  s.add({in({2, 6, 4, 5}).channels_last()}, DiagonalAttrs{0, -2, -1});
  s.add({in({4, 5}).transposed()}, DiagonalAttrs{1});
  s.add({in({0, 3})}, DiagonalAttrs{}).name("empty");
  s.error({in({3})}, DiagonalAttrs{}, kIndex, "axis 1");
  s.error({in({3, 3})}, DiagonalAttrs{0, 1, -1}, kValue, "twice");
}
RUTILE_SAMPLES(diag_embed) {
  for (const int64_t offset : {0, 1, -2}) {
    s.add({in({2, 3})}, DiagEmbedAttrs{offset}).dtypes(kEveryType);
  }
  s.add({in({2, 3})}, DiagEmbedAttrs{1, 0, 2});
  s.add({in({3, 2})}, DiagEmbedAttrs{0, 2, 1});
  s.add({in({0})}, DiagEmbedAttrs{}).name("empty");
  s.error({in({})}, DiagEmbedAttrs{}, kValue, "rank 1 to 7");
  s.error({in({3})}, DiagEmbedAttrs{0, 1, 1}, kValue, "twice");
  s.error({in({3})}, DiagEmbedAttrs{0, 1, 2}, kIndex, "axis 2");
  s.error({in({3})}, DiagEmbedAttrs{int64_t{1} << 40}, kValue, "2^48");
}
RUTILE_SAMPLES(diag) {
  s.add({in({3})}, DiagAttrs{-1}).dtypes(kEveryType);
  s.add({in({3, 4})}, DiagAttrs{1}).dtypes(kEveryType);
  s.add({in({0})}, DiagAttrs{}).name("empty");
  s.error({in({2, 2, 2})}, DiagAttrs{}, kValue, "rank 1 or 2");
}
RUTILE_SAMPLES(trace) {
  s.add({in({3, 4})}).dtypes(kComplexes).no_second_order("the op is linear");
  s.add({in({3, 4})}).dtypes(kEveryType);
  s.add({in({4, 4}).transposed()});
  s.add({in({0, 3})}).name("empty");
  s.error({in({3})}, kValue, "a matrix");
}
RUTILE_SAMPLES(block_diag) {
  s.add({in({2, 3}), in({1, 2})}).dtypes(kEveryType);
  s.add({in({2}), in({}), in({0, 2}), in({3, 1})});
  s.error({in({2, 2, 2})}, kValue, "at most rank 2");
  s.error({}, kValue, "at least");
}
RUTILE_SAMPLES(eye) {
  for (const DType t : kEveryType) s.add({}, EyeAttrs{3, -1, t});
  s.add({}, EyeAttrs{3, 5});
  s.add({}, EyeAttrs{0}).name("empty");
  s.error({}, EyeAttrs{-2}, kValue, "negative");
  s.error({}, EyeAttrs{3, 3, DType::kC64}, kType, "complex");
}
RUTILE_SAMPLES(linspace) {
  for (const DType t : kNumbers) s.add({}, LinspaceAttrs{0, 9, 4, t});
  s.add({}, LinspaceAttrs{-3, 3.5, 7, DType::kF64});
  s.add({}, LinspaceAttrs{2, 3, 1, DType::kF32}).name("one");
  s.add({}, LinspaceAttrs{2, 3, 0, DType::kF32}).name("none");
  s.error({}, LinspaceAttrs{0, 1, -1}, kValue, "negative");
  s.error({}, LinspaceAttrs{0, HUGE_VAL, 3}, kValue, "finite");
  s.error({}, LinspaceAttrs{0, 1, 3, DType::kBool}, kType, "bool");
}
RUTILE_SAMPLES(logspace) {
  for (const DType t : kFloats) s.add({}, LogspaceAttrs{0, 2, 4, 2, t});
  s.add({}, LogspaceAttrs{-1, 1, 5, 10, DType::kF64});
  s.add({}, LogspaceAttrs{0, 1, 0}).name("none");
  s.error({}, LogspaceAttrs{0, 1, -1}, kValue, "negative");
  s.error({}, LogspaceAttrs{0, 1, 3, 10, DType::kC64}, kType, "complex");
}
RUTILE_SAMPLES(vander) {
  s.add({in({4}).positive()}, VanderAttrs{}).dtypes(kFloats).tolerance(DType::kF16, 5e-3);
  s.add({in({4}).positive()}, VanderAttrs{3, true}).dtypes(kNumbers);
  s.add({in({0})}, VanderAttrs{}).name("empty");
  s.error({in({2, 2})}, VanderAttrs{}, kValue, "rank 1");
  s.error({in({2})}, VanderAttrs{-2}, kValue, "negative");
  s.error({bool_in({2})}, VanderAttrs{}, kType, "numbers");
}
RUTILE_SAMPLES(rot90) {
  for (const int64_t k : {0, 1, 2, 3, -1, 6}) s.add({in({3, 4})}, Rot90Attrs{k}).dtypes(kEveryType);
  s.add({in({2, 3, 4})}, Rot90Attrs{1, {2, 0}});
  s.add({in({2, 6, 3, 4}).channels_last()}, Rot90Attrs{3, {-2, -1}});
  s.add({in({0, 4})}, Rot90Attrs{}).name("empty");
  s.error({in({3})}, Rot90Attrs{}, kIndex, "axis 1");
  s.error({in({3, 3})}, Rot90Attrs{1, {0}}, kValue, "two axes");
  s.error({in({3, 3})}, Rot90Attrs{1, {1, -1}}, kValue, "twice");
}
RUTILE_SAMPLES(roll) {
  s.add({in({3, 4})}, RollAttrs{{1}, {}}).dtypes(kEveryType);
  s.add({in({3, 4})}, RollAttrs{{-1, 5}, {0, 1}});
  s.add({in({3, 4})}, RollAttrs{{1, 1}, {0, 0}});
  s.add({in({4, 5}).transposed()}, RollAttrs{{2}, {-1}});
  s.add({in({0, 4})}, RollAttrs{{2}, {0}}).name("empty");
  s.error({in({3})}, RollAttrs{{1}, {1}}, kIndex, "axis 1");
  s.error({in({3})}, RollAttrs{{1, 2}, {}}, kValue, "do not go");
}

}  // namespace
}  // namespace rutile::samples

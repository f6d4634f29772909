// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/products_more.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kIndex = ErrorCode::kIndex;

RUTILE_SAMPLES(addmv) {
  s.add({in({3}), in({3, 5}), in({5})}, AddmmAttrs{0.5, 2}).dtypes(kComplexes);
  s.add({in({3}), in({3, 5}), in({5})}, AddmmAttrs{}).dtypes(kFloats);
  s.add({in({1}), in({3, 5}).transposed(), in({5}).gaps()}, AddmmAttrs{0.5, -2});
  s.add({in({}), in({3, 5}), in({5})}, AddmmAttrs{0, 1});
  s.add({in({0}), in({0, 5}), in({5})}, AddmmAttrs{}).name("empty");
  s.error({in({4}), in({3, 5}), in({5})}, AddmmAttrs{}, kValue, "does not fit");
  s.error({in({3}), in({3, 5}), in({4})}, AddmmAttrs{}, kValue, "cannot multiply");
  s.error({in({3}), in({3}), in({4})}, AddmmAttrs{}, kValue, "rank 2 and 1");
  const DType i = DType::kI32;
  s.add({in({3}).ints(0, 3), in({3, 5}).ints(0, 3), in({5}).ints(0, 3)}, AddmmAttrs{2, 3})
      .dtypes(kInts)
      .name("integers");
  s.error({in({3}).as(i), in({3, 5}).as(i), in({5}).as(i)}, AddmmAttrs{1, 0.5}, kType,
          "by integers");
  s.error({bool_in({3}), bool_in({3, 5}), bool_in({5})}, AddmmAttrs{}, kType, "numbers");
}
RUTILE_SAMPLES(addr) {
  s.add({in({3, 5}), in({3}), in({5})}, AddmmAttrs{}).dtypes(kFloats);
  s.add({in({5}), in({3}).gaps(), in({5})}, AddmmAttrs{0.5, -2});
  s.add({in({0, 5}), in({0}), in({5})}, AddmmAttrs{0, 2}).name("empty");
  s.error({in({4, 5}), in({3}), in({5})}, AddmmAttrs{}, kValue, "does not fit");
  s.error({in({3, 5}), in({3, 1}), in({5})}, AddmmAttrs{}, kValue, "rank 1 and 1");
  s.add({in({3, 5}).ints(0, 3), in({3}).ints(0, 3), in({5}).ints(0, 3)}, AddmmAttrs{2, 3})
      .dtypes(kInts)
      .name("integers");
}
RUTILE_SAMPLES(addbmm) {
  s.add({in({3, 6}), in({4, 3, 5}), in({4, 5, 6})}, AddmmAttrs{0.5, 2}).dtypes(kComplexes);
  s.add({in({3, 6}), in({4, 3, 5}), in({4, 5, 6})}, AddmmAttrs{}).dtypes(kFloats);
  s.add({in({6}), in({2, 3, 5}).transposed(), in({2, 5, 6}).gaps()}, AddmmAttrs{0.5, -2});
  s.add({in({3, 6}), in({0, 3, 5}), in({0, 5, 6})}, AddmmAttrs{}).name("no matrices");
  s.error({in({3, 6}), in({4, 3, 5}), in({3, 5, 6})}, AddmmAttrs{}, kValue, "cannot multiply");
  s.error({in({3, 6}), in({3, 5}), in({5, 6})}, AddmmAttrs{}, kValue, "rank 3 and 3");
  s.add({in({3, 6}).ints(0, 3), in({2, 3, 5}).ints(0, 3), in({2, 5, 6}).ints(0, 3)}, AddmmAttrs{})
      .dtypes(kInts)
      .name("integers");
}
RUTILE_SAMPLES(bilinear) {
  s.add({in({4, 3}), in({4, 5}), in({2, 3, 5}), in({2})}).dtypes(kFloats);
  s.add({in({2, 4, 3}), in({2, 4, 5}).gaps(), in({2, 3, 5}).transposed()});
  s.add({in({3}), in({5}), in({1, 3, 5})});
  s.add({in({4, 3}).ints(0, 2), in({4, 5}).ints(0, 2), in({2, 3, 5}).ints(0, 2)})
      .dtypes(kInts)
      .name("integers");
  s.add({in({0, 3}), in({0, 5}), in({2, 3, 5})}).name("empty");
  s.error({in({4, 3}), in({4, 4}), in({2, 3, 5})}, kValue, "expects inputs");
  s.error({in({4, 3}), in({3, 5}), in({2, 3, 5})}, kValue, "differ");
  s.error({in({4, 3}), in({4, 5}), in({3, 5})}, kValue, "weight expects");
  s.error({in({4, 3}), in({4, 5}), in({2, 3, 5}), in({3})}, kValue, "bias expects");
}
RUTILE_SAMPLES(pdist) {
  for (const double p : {2.0, 1.0, 0.0, 3.0, 0.5, static_cast<double>(HUGE_VAL)}) {
    auto group = s.add({in({5, 3}).distinct(-2, 2)}, CdistAttrs{p});
    group.dtypes(kFloats).tolerance(DType::kF64, 1e-11);
    if (p != 2 && p != 3) group.no_second_order("kinks");
  }
  s.add({in({1, 3})}, CdistAttrs{}).name("one row");
  s.add({in({0, 3})}, CdistAttrs{}).name("no rows");
  s.add({in({4, 0})}, CdistAttrs{}).name("no columns");
  s.error({in({5})}, CdistAttrs{}, kValue, "expects shape");
  s.error({in({5, 3})}, CdistAttrs{-1}, kValue, "p >= 0");
  s.error({in({5, 3}).as(DType::kI32)}, CdistAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(renorm) {
  s.add({in({5, 3}).distinct(0.6, 2.6)}, RenormAttrs{2, 0, 1.0734}).dtypes(kComplexes);
  for (const double p : {2.0, 1.0, 3.5, static_cast<double>(HUGE_VAL)}) {
    auto group = s.add({in({5, 3}).distinct(0.6, 2.6)}, RenormAttrs{p, 0, 1.0734});
    group.dtypes(kFloats);
    if (p != 2) group.no_second_order("kinks");
  }
  s.add({in({2, 3, 4}).transposed()}, RenormAttrs{2, -1, 2.3});
  s.add({in({0, 3})}, RenormAttrs{}).name("empty");
  s.error({in({5})}, RenormAttrs{}, kValue, "rank 2");
  s.error({in({5, 3})}, RenormAttrs{0, 0, 1}, kValue, "p > 0");
  s.error({in({5, 3})}, RenormAttrs{2, 2, 1}, kIndex, "axis 2");
  s.error({in({5, 3})}, RenormAttrs{2, 0, -1}, kValue, "maxnorm");
}

}  // namespace
}  // namespace rutile::samples

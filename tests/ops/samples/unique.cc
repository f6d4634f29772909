// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/unique.h"

#include <cmath>

#include "rutile/ops/statistics.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kIndex = ErrorCode::kIndex;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;

#define RUTILE_UNIQUE_SAMPLES(op)                          \
  RUTILE_SAMPLES(op) {                                     \
    s.add({in({4, 9}).ints(0, 6)}).dtypes(kEveryType);     \
    s.add({in({7}).values({NAN, 1, 1, NAN, -0.0, 0, 3})}); \
    s.add({in({4, 5}).ints(0, 3).transposed()});           \
    s.add({in({}).values({2})}).name("0-d");               \
    s.add({in({0, 3})}).name("empty");                     \
    s.error({in({2}).as(DType::kC64)}, kType, "complex");  \
  }
RUTILE_UNIQUE_SAMPLES(unique)
RUTILE_UNIQUE_SAMPLES(unique_consecutive)

RUTILE_SAMPLES(masked_select) {
  s.add({in({4, 9}), bool_in({4, 9})}).dtypes(kEveryType);
  s.add({in({4, 1}), bool_in({3})}).name("broadcast");
  s.add({in({4, 5}).transposed(), bool_in({4, 5}).transposed()});
  s.add({in({3}), in({3}).values({0}).as(DType::kBool)}).name("none");
  s.add({in({}), in({}).values({1}).as(DType::kBool)}).name("0-d");
  s.add({in({0, 3}), bool_in({3})}).name("empty");
  s.error({in({3}), in({3})}, kType, "mask expects bool");
  s.error({in({3}), bool_in({2})}, kValue, "broadcast");
}

RUTILE_SAMPLES(bincount) {
  s.add({in({4, 9}).ints(0, 6)}, BincountAttrs{6}).dtypes(kInts);
  s.add({index_in({30}, 0, 6), in({30})}, BincountAttrs{8}).dtypes(kFloats);
  s.add({index_in({30}, 0, 6), in({30}).ints(-4, 9).as(DType::kI32)}, BincountAttrs{8});
  s.add({index_in({30}, 0, 6), bool_in({30})}, BincountAttrs{8}).name("bool weights");
  s.add({index_in({0}, 0, 6)}, BincountAttrs{3}).name("empty");
  s.add({index_in({0}, 0, 6)}, BincountAttrs{0}).name("nothing");
  s.error({in({2}).as(DType::kI64).values({0, 3})}, BincountAttrs{3}, kIndex, "index 3 at [1]");
  s.error({in({1}).as(DType::kI64).values({-1})}, BincountAttrs{3}, kIndex, "| in bincount");
  s.error({in({2})}, BincountAttrs{3}, kType, "integers");
  s.error({index_in({2}, 0, 3), in({3})}, BincountAttrs{3}, kValue, "weights expects");
  s.error({index_in({2}, 0, 3)}, BincountAttrs{-3}, kValue, "negative");
}

RUTILE_SAMPLES(histc) {
  s.add({in({4, 9})}, HistcAttrs{5, -1, 1.5}).dtypes(kFloats);
  s.add({in({4, 9})}, HistcAttrs{4}).dtypes({DType::kF32, DType::kF64});
  s.add({in({5}).values({2})}, HistcAttrs{4}).name("one value");
  s.add({in({6}).values({NAN, 1, 0, 4, -3, 2})}, HistcAttrs{4, 0, 4});
  s.add({in({0})}, HistcAttrs{3}).name("empty");
  s.error({in({2})}, HistcAttrs{0}, kValue, "bins >= 1");
  s.error({in({2})}, HistcAttrs{3, 2, 1}, kValue, "min <= max");
  s.error({in({2}).as(DType::kI32)}, HistcAttrs{}, kType, "floats");
}

RUTILE_SAMPLES(nansum) {
  s.add({in({4, 9})}, SumAttrs{}).dtypes(kEveryType).no_second_order("the op is linear");
  s.add({in({3, 4}).values({1, NAN, 2, 3, NAN})}, SumAttrs{{1}, true})
      .dtypes(kFloats)
      .no_gradient("NaN");
  s.add({in({3, 0})}, SumAttrs{{1}}).name("empty");
  s.error({in({3})}, SumAttrs{{1}}, kIndex, "axis 1");
  s.add({in({3, 4})}, SumAttrs{{1}}).dtypes(kComplexes).no_second_order("the op is linear");
  for (const Shape& shape : {Shape{67, 1033}, Shape{1033, 67}}) {
    s.add({in(shape).values({1, NAN, 2, 3, 0.5, NAN, -1})}, SumAttrs{{1}})
        .dtypes({DType::kF32, DType::kF64, DType::kBF16})
        .name("long")
        .no_gradient("NaN");
  }
  s.add({in({1033, 67}).values({1, NAN, 2})}, SumAttrs{{0}}).name("long").no_gradient("NaN");
}
RUTILE_SAMPLES(product_of_others) {
  s.add({in({3, 5})}).dtypes(kFloats);
  s.add({in({3, 5}).values({1, 0, 2, 3, 0, 0, 4})}).name("zeros");
  s.add({in({2, 3, 4}).transposed()});
  for (const int64_t n : {1, 2, 15, 16, 17, 33, 100}) s.add({in({3, n}).uniform(0.7, 1.4)});
  s.add({in({67, 131}).uniform(0.9, 1.1)}).dtypes({DType::kF32, DType::kF64}).name("long");
  s.add({in({3, 0})}).name("empty");
  s.add({in({0, 3})}).name("empty");
  s.add({in({3, 4})}).dtypes(kComplexes);
  s.error({in({})}, kValue, "at least rank 1");
  s.error({in({3}).as(DType::kI32)}, kType, "floats");
}
RUTILE_SAMPLES(nanmean) {
  s.add({in({4, 9})}, SumAttrs{}).dtypes(kFloats).no_second_order("the op is linear");
  s.add({in({3, 4}).values({1, NAN, 2, 3, NAN})}, SumAttrs{{1}, true})
      .dtypes(kFloats)
      .no_gradient("NaN");
  s.add({in({2}).values({NAN})}, SumAttrs{}).no_gradient("NaN");
  s.add({in({3, 0})}, SumAttrs{{1}}).name("empty").no_gradient("no elements");
  s.error({in({3})}, SumAttrs{{1}}, kIndex, "axis 1");
  s.error({in({3}).as(DType::kI32)}, SumAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(count_nonzero) {
  s.add({in({4, 9}).ints(-1, 2)}, ReduceAttrs{}).dtypes(kEveryType);
  s.add({in({3, 4}).values({1, NAN, 0, 0.25, 0})}, ReduceAttrs{{1}, true}).dtypes(kFloats);
  s.add({in({3, 0})}, ReduceAttrs{{1}}).name("empty");
  s.error({in({3})}, ReduceAttrs{{1}}, kIndex, "axis 1");
  s.add({in({3, 4}).ints(-1, 2)}, ReduceAttrs{{1}}).dtypes(kComplexes);
}
RUTILE_SAMPLES(unique_rows) {
  for (const bool consecutive : {false, true}) {
    s.add({in({12, 2}).ints(0, 3)}, UniqueRowsAttrs{consecutive}).dtypes(kEveryType);
    s.add({in({9, 1}).ints(-1, 2).gaps()}, UniqueRowsAttrs{consecutive});
    s.add({in({5, 2}).values({1, NAN, 1, NAN, 0, 2, 0})}, UniqueRowsAttrs{consecutive});
    s.add({in({0, 3})}, UniqueRowsAttrs{consecutive}).name("empty");
    s.add({in({3, 0})}, UniqueRowsAttrs{consecutive}).name("nothing in rows");
  }
  s.error({in({3})}, UniqueRowsAttrs{}, kValue, "expects shape");
  s.error({in({3, 2}).as(DType::kC64)}, UniqueRowsAttrs{}, kType, "complex");
}
RUTILE_SAMPLES(cov) {
  s.add({in({3, 9})}, CovAttrs{}).dtypes(kComplexes);
  s.add({in({3, 9})}, CovAttrs{}).dtypes(kFloats);
  s.add({in({3, 9}).uniform(9, 11)}, CovAttrs{0});
  s.add({in({9})}, CovAttrs{}).name("one variable");
  s.add({in({1, 9})}, CovAttrs{}).name("one row");
  const Input often = in({9}).as(DType::kI64).values({1, 2, 0, 3});
  s.add({in({3, 9}), often}, CovAttrs{});
  s.add({in({3, 9}), none(), in({9}).positive()}, CovAttrs{});
  s.add({in({3, 9}), often, in({9}).positive()}, CovAttrs{0}).dtypes(kFloats);
  s.error({in({3, 9}), index_in({3}, 1, 3)}, CovAttrs{}, kValue, "fweights expects shape [9]");
  s.error({in({3, 9}), in({9})}, CovAttrs{}, kType, "fweights expects integers");
  s.add({in({0, 3})}, CovAttrs{}).name("no variable");
  s.add({in({3, 9}).ints(0, 9)}, CovAttrs{}).dtypes(kInts).name("numbers without a fraction");
  s.error({in({})}, CovAttrs{}, kValue, "expects shape");
  s.error({in({2, 2, 2})}, CovAttrs{}, kValue, "expects shape");
  s.add({in({3, 9}).ints(-5, 9).as(DType::kI32)}, CovAttrs{}).name("integers");
  s.error({bool_in({3})}, CovAttrs{}, kType, "numbers");
}
RUTILE_SAMPLES(corrcoef) {
  s.add({in({3, 9})}).dtypes(kComplexes).no_gradient("kinks at the diagonal, which is 1");
  s.add({in({3, 9})}).dtypes(kFloats).no_gradient("kinks at the diagonal, which is 1");
  s.add({in({9})}).name("one variable").no_gradient("constant");
  s.add({in({1, 9})}).name("one row").no_gradient("constant");
  s.add({in({3, 9}).ints(0, 9)}).dtypes(kInts).name("integers");
  s.error({in({2, 2, 2})}, kValue, "expects shape");
}
RUTILE_SAMPLES(aminmax) {
  s.add({in({4, 9}).distinct()}, ReduceAttrs{}).dtypes(kEveryType).no_second_order("constant");
  s.add({in({4, 9}).distinct()}, ReduceAttrs{{0}, true}).no_second_order("constant");
  s.add({in({0, 3})}, ReduceAttrs{{1}}).name("empty");
  s.error({in({0})}, ReduceAttrs{}, kValue, "no elements");
  s.error({in({3})}, ReduceAttrs{{1}}, kIndex, "axis 1");
}

}  // namespace
}  // namespace rutile::samples

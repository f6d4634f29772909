// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/order.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kIndex = ErrorCode::kIndex;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;

RUTILE_SAMPLES(kthvalue) {
  s.add({in({4, 9}).distinct(-50, 50)}, KthvalueAttrs{3}).dtypes(kFloats);
  s.add({in({4, 9}).distinct(-50, 50)}, KthvalueAttrs{4, 0, true});
  s.add({in({4, 30})}, KthvalueAttrs{12}).dtypes(joined(kInts, {DType::kBool})).name("ties");
  s.add({in({9}).filled(specials())}, KthvalueAttrs{9}).dtypes(kFloats).no_gradient("NaN");
  s.add({in({5, 6}).distinct().transposed()}, KthvalueAttrs{2});
  s.add({in({3, 2000, 3}).distinct(-900, 900)}, KthvalueAttrs{700, 1});
  s.add({in({0, 3})}, KthvalueAttrs{1}).name("empty");
  s.error({in({4})}, KthvalueAttrs{5}, kValue, "k is 5, expects 1 to 4");
  s.error({in({4})}, KthvalueAttrs{0}, kValue, "k is 0");
  s.add({in({})}, KthvalueAttrs{1, 0, true}).name("number");
  s.error({in({})}, KthvalueAttrs{2}, kValue, "k is 2");
  s.error({in({2}).as(DType::kC64)}, KthvalueAttrs{1}, kType, "complex");
}

#define RUTILE_MEDIAN_SAMPLES(op)                                                           \
  RUTILE_SAMPLES(op) {                                                                      \
    s.add({in({4, 9}).distinct(-50, 50)}, ArgAttrs{}).dtypes(kFloats);                      \
    s.add({in({4, 10}).distinct(-50, 50)}, ArgAttrs{{-1}, true}).dtypes(kFloats);           \
    s.add({in({4, 10}).distinct(-50, 50)}, ArgAttrs{{0}});                                  \
    s.add({in({4, 30})}, ArgAttrs{{1}}).dtypes(joined(kInts, {DType::kBool})).name("ties"); \
    s.add({in({3, 8}).values({1, NAN, 2, 0, NAN, 5, 6, 9, NAN})}, ArgAttrs{{1}})            \
        .dtypes(kFloats)                                                                    \
        .no_gradient("NaN");                                                                \
    s.add({in({2}).values({NAN})}, ArgAttrs{}).no_gradient("NaN");                          \
    s.add({in({5, 6}).distinct().transposed()}, ArgAttrs{});                                \
    s.add({in({})}, ArgAttrs{}).name("0-d");                                                \
    s.add({in({0, 3})}, ArgAttrs{{1}}).name("empty");                                       \
    s.error({in({0})}, ArgAttrs{}, kValue, "no elements");                                  \
    s.error({in({4, 0})}, ArgAttrs{{1}}, kValue, "no elements");                            \
    s.error({in({4})}, ArgAttrs{{1}}, kIndex, "axis 1");                                    \
    s.error({in({4, 3})}, ArgAttrs{{0, 1}}, kValue, "one axis");                            \
    s.error({in({2}).as(DType::kC64)}, ArgAttrs{}, kType, "complex");                       \
  }
RUTILE_MEDIAN_SAMPLES(median)
RUTILE_MEDIAN_SAMPLES(nanmedian)

RUTILE_SAMPLES(mode) {
  s.add({in({4, 30}).ints(0, 5)}, ModeAttrs{}).dtypes(kEveryType).no_gradient("ties");
  s.add({in({4, 9}).distinct(-50, 50)}, ModeAttrs{0, true});
  s.add({in({6}).values({NAN, 1, NAN, 2, 1, NAN})}, ModeAttrs{}).no_gradient("NaN");
  s.add({in({5, 6}).distinct().transposed()}, ModeAttrs{});
  s.add({in({0, 3})}, ModeAttrs{}).name("empty");
  s.add({in({})}, ModeAttrs{}).name("number");
  s.error({in({4, 0})}, ModeAttrs{}, kValue, "no elements");
  s.error({in({4})}, ModeAttrs{1}, kIndex, "axis 1");
}

#define RUTILE_QUANTILE_SAMPLES(op)                                                                \
  RUTILE_SAMPLES(op) {                                                                             \
    for (const QuantileMode m :                                                                    \
         {QuantileMode::kLinear, QuantileMode::kLower, QuantileMode::kHigher,                      \
          QuantileMode::kMidpoint, QuantileMode::kNearest}) {                                      \
      s.add({in({4, 9}).distinct(-5, 5), in({3}).values({0.11, 0.48, 0.9}).constant()},            \
            QuantileAttrs{{1}, false, m});                                                         \
    }                                                                                              \
    s.add({in({4, 9}).distinct(-5, 5), in({}).values({0.3})}, QuantileAttrs{})                     \
        .dtypes({DType::kF32, DType::kF64});                                                       \
    s.add({in({4, 9}).distinct(-5, 5), in({2}).values({0.25, 1})}, QuantileAttrs{{0}, true})       \
        .dtypes({DType::kBF16, DType::kF16})                                                       \
        .no_gradient("at an element");                                                             \
    s.add(                                                                                         \
         {in({3, 4}).values({1, 5, 2, 4, NAN, 1, 7, 8, 9, 3, 2, 1}), in({2}).values({0.5, 0.25})}, \
         QuantileAttrs{{1}})                                                                       \
        .no_gradient("NaN");                                                                       \
    s.add({in({3}).values({NAN}), in({}).values({0.3})}, QuantileAttrs{}).no_gradient("NaN");      \
    s.add({in({0, 3}), in({2}).values({0.5})}, QuantileAttrs{{1}}).name("empty");                  \
    s.add({in({4, 3}), in({0})}, QuantileAttrs{{1}}).name("no q");                                 \
    s.error({in({4, 3}), in({2, 2})}, QuantileAttrs{}, kValue, "q expects");                       \
    s.error({in({4, 0}), in({})}, QuantileAttrs{{1}}, kValue, "no elements");                      \
    s.error({in({4}), in({})}, QuantileAttrs{{1}}, kIndex, "axis 1");                              \
    s.error({in({4}).as(DType::kI32), in({}).as(DType::kI32)}, QuantileAttrs{}, kType, "floats");  \
    for (const double q : {-0.5, 1.1, static_cast<double>(NAN)}) {                                 \
      for (const QuantileMode m : {QuantileMode::kLinear, QuantileMode::kNearest}) {               \
        s.error({in({4}), in({2}).values({0.5, q})}, QuantileAttrs{.interpolation = m}, kValue,    \
                "q expects numbers from 0 to 1");                                                  \
      }                                                                                            \
    }                                                                                              \
  }
RUTILE_QUANTILE_SAMPLES(quantile)
RUTILE_QUANTILE_SAMPLES(nanquantile)

RUTILE_SAMPLES(searchsorted) {
  for (const bool right : {false, true}) {
    s.add({in({6}).values({-2, -1, 0, 1, 1, 3}), in({4, 9})}, SearchsortedAttrs{right})
        .dtypes({DType::kF32, DType::kF64, DType::kBF16, DType::kF16, DType::kI8, DType::kI16,
                 DType::kI32, DType::kI64});
    s.add({in({4}).values({0, 1, 1, 3}), in({9})}, SearchsortedAttrs{right, true})
        .dtypes({DType::kU8, DType::kU16, DType::kU32, DType::kU64});
    s.add({in({2, 3}).values({-1, 0, 1, 0, 0, 2}), in({2, 5}).values({-2, 0, 1, 2, NAN})},
          SearchsortedAttrs{right});
  }
  s.add({in({2}).values({0, 1}).as(DType::kBool), bool_in({5})}, SearchsortedAttrs{});
  s.add({in({3}).values({1, NAN, NAN}), in({3}).values({2, NAN, 0})}, SearchsortedAttrs{});
  s.add({in({3}).values({0, 1, 2}), in({})}, SearchsortedAttrs{}).name("0-d");
  s.add({in({0}), in({4})}, SearchsortedAttrs{}).name("no line");
  s.add({in({3}), in({0, 4})}, SearchsortedAttrs{}).name("no values");
  s.error({in({}), in({3})}, SearchsortedAttrs{}, kValue, "sorted lines");
  s.error({in({2, 3}), in({3, 3})}, SearchsortedAttrs{}, kValue, "sorted lines");
  s.error({in({2, 3}), in({3})}, SearchsortedAttrs{}, kValue, "sorted lines");
  s.error({in({2}).as(DType::kC64), in({3}).as(DType::kC64)}, SearchsortedAttrs{}, kType,
          "complex");
}
RUTILE_SAMPLES(bucketize) {
  s.add({in({4, 9}), in({4}).values({-1, 0, 1, 1})}, SearchsortedAttrs{}).dtypes(kFloats);
  s.add({in({4, 9}), in({4}).values({0, 1, 1, 3})}, SearchsortedAttrs{true, true}).dtypes(kInts);
  s.add({bool_in({5}), in({2}).values({0, 1}).as(DType::kBool)}, SearchsortedAttrs{});
  s.add({in({0}), in({3})}, SearchsortedAttrs{}).name("empty");
  s.error({in({3}), in({2, 2})}, SearchsortedAttrs{}, kValue, "boundaries");
}
RUTILE_SAMPLES(isin) {
  s.add({in({4, 9}).ints(0, 9), in({2, 3}).ints(0, 9)}, IsinAttrs{}).dtypes(kEveryType);
  s.add({in({5}).ints(0, 9), in({3}).ints(0, 9)}, IsinAttrs{true});
  s.add({in({3}).values({1, NAN, 2}), in({3}).values({NAN, 2, NAN})}, IsinAttrs{});
  s.add({in({3}), in({0})}, IsinAttrs{}).name("nothing to find");
  s.add({in({0}), in({3})}, IsinAttrs{}).name("empty");
  s.error({in({2}).as(DType::kC64), in({3}).as(DType::kC64)}, IsinAttrs{}, kType, "complex");
}

}  // namespace
}  // namespace rutile::samples

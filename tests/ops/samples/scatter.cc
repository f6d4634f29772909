// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/scatter.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kIndex = ErrorCode::kIndex;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;

// No place twice: what wins is defined, but the gradient of a loser is not.
Input apart(const Shape& shape, std::vector<double> v) {
  return in(shape).as(DType::kI64).values(std::move(v));
}

RUTILE_SAMPLES(scatter) {
  s.add({in({3, 5}), apart({3, 2}, {0, -1, 2, 1, 4, 0}), in({3, 2})}, ScatterAttrs{1})
      .dtypes(kEveryType);
  s.add({in({5, 3}), apart({2, 2}, {0, 4, 2, 1}), in({2, 2})}, ScatterAttrs{});
  s.add({in({4}), index_in({9}, 0, 4), in({9})}, ScatterAttrs{})
      .no_gradient("a place twice")
      .name("the last wins");
  for (const auto r :
       {ScatterReduce::kAdd, ScatterReduce::kMul, ScatterReduce::kMax, ScatterReduce::kMin}) {
    s.add({in({3, 4}).distinct(-2, 2), index_in({3, 7}, -4, 4), in({3, 7}).distinct(-1.97, 2.02)},
          ScatterAttrs{1, r})
        .dtypes(kNumbers)
        .tolerance(DType::kBF16, 3e-2)
        .tolerance(DType::kF16, 5e-3)
        .no_second_order("checked by the first");
  }
  s.add(
       {in({4}).values({2, 0, 3, 0}), apart({5}, {0, 1, 1, 2, 3}), in({5}).values({3, 2, 0, 5, 0})},
       ScatterAttrs{0, ScatterReduce::kMul})
      .name("zeros")
      .no_second_order("zeros");
  s.add({in({4, 5}).transposed(), apart({4, 2}, {0, 1, 2, 3, 4, 0, 1, 2}), in({4, 2}).transposed()},
        ScatterAttrs{1});
  s.add({in({4}), index_in({0}, 0, 4), in({0})}, ScatterAttrs{}).name("nothing");
  s.add({in({}), index_in({}, 0, 1), in({})}, ScatterAttrs{-1, ScatterReduce::kAdd}).name("number");
  s.error({in({3}), in({2}).as(DType::kI64).values({0, 3}), in({2})}, ScatterAttrs{}, kIndex,
          "index 3 at [1] is out of range: expects -3 to 2");
  s.error({in({3}), index_in({2}, 0, 3), in({3})}, ScatterAttrs{}, kValue, "src expects");
  s.error({in({3}), index_in({2, 1}, 0, 3), in({2, 1})}, ScatterAttrs{}, kValue, "does not fit");
  s.error({in({3}), in({2}), in({2})}, ScatterAttrs{}, kType, "i32 or i64");
  s.error({in({3}), index_in({2}, 0, 3), in({2}).as(DType::kF64)}, ScatterAttrs{}, kType, "dtype");
  s.error({bool_in({3}), index_in({2}, 0, 3), bool_in({2})}, ScatterAttrs{0, ScatterReduce::kAdd},
          kType, "real number");
}

RUTILE_SAMPLES(index_copy) {
  s.add({in({3, 5}), apart({2}, {3, -5}), in({3, 2})}, IndexAxisAttrs{1}).dtypes(kEveryType);
  s.add({in({4, 3, 2}), apart({2}, {3, 1}), in({2, 3, 2})}, IndexAxisAttrs{0});
  s.add({in({4, 3}), index_in({0}, 0, 4), in({0, 3})}, IndexAxisAttrs{}).name("nothing");
  s.add({in({}), index_in({1}, 0, 1), in({})}, IndexAxisAttrs{}).name("number");
  s.add({in({}), index_in({}, -1, 1), in({})}, IndexAxisAttrs{-1}).name("number by a number");
  s.error({in({}), index_in({2}, 0, 1), in({})}, IndexAxisAttrs{}, kValue, "src expects");
  s.error({in({3}), in({1}).as(DType::kI64).values({3}), in({1})}, IndexAxisAttrs{}, kIndex,
          "out of range");
  s.error({in({3}), index_in({2}, 0, 3), in({3})}, IndexAxisAttrs{}, kValue, "src expects");
  s.error({in({3}), index_in({2, 1}, 0, 3), in({2})}, IndexAxisAttrs{}, kValue, "index expects");
}
RUTILE_SAMPLES(index_fill) {
  s.add({in({3, 5}), index_in({2}, -5, 5)}, IndexFillAttrs{1, 2}).dtypes(kEveryType);
  s.add({in({4, 3, 2}), in({2}).as(DType::kI32).values({3, 3})}, IndexFillAttrs{0, 0.5});
  s.add({in({4, 3}), index_in({0}, 0, 4)}, IndexFillAttrs{}).name("nothing");
  s.error({in({3}), in({1}).as(DType::kI64).values({-4})}, IndexFillAttrs{}, kIndex,
          "out of range");
  s.error({in({}), index_in({2}, 0, 3)}, IndexFillAttrs{}, kIndex, "0-d");
  s.error({in({3}), index_in({2, 1}, 0, 3)}, IndexFillAttrs{}, kValue, "index expects");
  s.error({in({3}).as(DType::kC64), index_in({2}, 0, 3)}, IndexFillAttrs{}, kType, "complex");
}

RUTILE_SAMPLES(gather_nd) {
  s.add({in({3, 5}), index_in({4, 2}, -3, 3)}).dtypes(kEveryType);
  s.add({in({3, 5, 2}), index_in({2, 2, 1}, 0, 3)});
  s.add({in({3, 5}), in({2, 2}).as(DType::kI32).ints(0, 3)});
  s.add({in({3, 5}), index_in({2}, 0, 3)}).name("one");
  s.add({in({3, 2}), index_in({4, 0}, 0, 3)}).name("no coordinates");
  s.add({in({4, 5}).transposed(), index_in({3, 1}, 0, 4)});
  s.add({in({3, 5}), index_in({0, 2}, 0, 3)}).name("none");
  s.add({in({70, 50, 9}), index_in({400, 2}, 0, 50)});
  s.error({in({3, 5}), in({1, 2}).as(DType::kI64).values({0, 5})}, kIndex,
          "index 5 at [0,1] is out of range: expects -5 to 4");
  s.error({in({3}), index_in({1, 2}, 0, 1)}, kValue, "indices name 2 dimensions");
  s.error({in({3}), index_in({}, 0, 1)}, kValue, "a scalar");
  s.error({in({3}), in({1, 1})}, kType, "i32 or i64");
}

RUTILE_SAMPLES(tensor_scatter) {
  s.add({in({3, 5}), apart({3, 2}, {0, 1, -1, 2, 0, 0}), in({3})}, TensorScatterAttrs{})
      .dtypes(kEveryType);
  s.add({in({4, 3}), apart({2, 1}, {3, 1}), in({2, 3})}, TensorScatterAttrs{});
  for (const auto r :
       {ScatterReduce::kAdd, ScatterReduce::kMul, ScatterReduce::kMax, ScatterReduce::kMin}) {
    s.add({in({3, 4}).distinct(-2, 2), index_in({5, 1}, -3, 3), in({5, 4}).distinct(-1.97, 2.02)},
          TensorScatterAttrs{r})
        .dtypes(kNumbers)
        .tolerance(DType::kBF16, 3e-2)
        .tolerance(DType::kF16, 5e-3)
        .no_second_order("checked by the first");
  }
  s.add({in({4, 5}).transposed(), apart({2, 1}, {0, 2}), in({2, 5}).transposed()},
        TensorScatterAttrs{});
  s.add({in({4}), index_in({0, 1}, 0, 4), in({0})}, TensorScatterAttrs{}).name("nothing");
  s.error({in({3}), in({1, 1}).as(DType::kI64).values({3}), in({1})}, TensorScatterAttrs{}, kIndex,
          "index 3 at [0,0]");
  s.error({in({3}), index_in({2, 1}, 0, 3), in({3})}, TensorScatterAttrs{}, kValue,
          "updates expects");
  s.error({in({3}), index_in({2, 1}, 0, 3), in({2}).as(DType::kF64)}, TensorScatterAttrs{}, kType,
          "dtype");
}

RUTILE_SAMPLES(scatter_nd) {
  s.add({index_in({6, 2}, 0, 3), in({6})}, ScatterNdAttrs{{3, 4}})
      .dtypes(joined(kNumbers, kComplexes));
  s.add({index_in({6, 1}, 0, 3), in({6, 4})}, ScatterNdAttrs{{3, 4}});
  s.add({index_in({0, 1}, 0, 3), in({0})}, ScatterNdAttrs{{3}}).name("nothing");
  s.error({in({1, 1}).as(DType::kI64).values({3}), in({1})}, ScatterNdAttrs{{3}}, kIndex,
          "out of range");
  s.error({index_in({1, 1}, 0, 3), in({1})}, ScatterNdAttrs{{-3}}, kValue, "negative");
  s.error({index_in({1, 1}, 0, 3), in({2})}, ScatterNdAttrs{{3}}, kValue, "updates expects");
  s.error({index_in({1, 1}, 0, 3), bool_in({1})}, ScatterNdAttrs{{3}}, kType, "expects numbers");
}

RUTILE_SAMPLES(index_put) {
  s.add({in({3, 5}), in({3}), apart({3}, {0, 2, 1}), apart({3}, {4, 4, -1})}, IndexPutAttrs{})
      .dtypes(kEveryType);
  s.add({in({4, 3}), in({}), apart({2, 1}, {0, 2})}, IndexPutAttrs{}).name("one value");
  s.add({in({4, 5, 2}), in({3, 2, 2}), index_in({3, 1}, 0, 4), index_in({2}, 0, 5)},
        IndexPutAttrs{true})
      .dtypes(kNumbers)
      .tolerance(DType::kBF16, 3e-2)
      .tolerance(DType::kF16, 5e-3);
  s.add({in({4}), in({0}), index_in({0}, 0, 4)}, IndexPutAttrs{}).name("nothing");
  s.error({in({3}), in({1}), in({1}).as(DType::kI64).values({3})}, IndexPutAttrs{}, kIndex,
          "out of range");
  s.error({in({3}), in({1})}, IndexPutAttrs{}, kValue, "1 to 1 indices, got 0");
  s.error({in({3}), in({4}), index_in({2}, 0, 3)}, IndexPutAttrs{}, kValue, "do not fit");
  s.error({in({3}), in({1}), in({2})}, IndexPutAttrs{}, kType, "i32 or i64");
}

RUTILE_SAMPLES(masked_scatter) {
  s.add({in({4, 5}), bool_in({4, 5}), in({20})}).dtypes(kEveryType);
  s.add({in({4, 5}), bool_in({5}), in({4, 6})});
  s.add({in({4, 5}).transposed(), bool_in({4, 1}), in({20})});
  s.add({in({3}), in({3}).values({0}).as(DType::kBool), in({0})}).name("none");
  s.add({in({0, 3}), bool_in({3}), in({2})}).name("empty");
  s.error({in({3}), in({3}).values({1}).as(DType::kBool), in({2})}, kIndex,
          "[masked_scatter] mask takes 3 elements, src has only 2");
  s.error({in({3}), bool_in({2}), in({2})}, kValue, "broadcast");
  s.add({in({3}), bool_in({2, 3}), in({6})}).name("x broadcasts");
  s.add({in({97, 131}), bool_in({97, 131}), in({97 * 131})}).name("chunks");
  s.error({in({3}), in({3}), in({3})}, kType, "mask expects bool");
}

}  // namespace
}  // namespace rutile::samples

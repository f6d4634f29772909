// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/places.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kValue = ErrorCode::kValue;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kIndex = ErrorCode::kIndex;

constexpr IndexReduce kReductions[] = {IndexReduce::kSum, IndexReduce::kProd, IndexReduce::kMean,
                                       IndexReduce::kAmax, IndexReduce::kAmin};

// Far from ties; whole numbers stay small.
Input numbers(const Shape& shape) { return in(shape).distinct(0.3, 2.9); }

RUTILE_SAMPLES(scatter_reduce) {
  for (const IndexReduce r : kReductions) {
    const bool extremum = r == IndexReduce::kAmax || r == IndexReduce::kAmin;
    for (const bool self : {true, false}) {
      auto group = s.add({numbers({3, 5}), index_in({3, 7}, 0, 5), numbers({3, 7})},
                         ScatterReduceAttrs{.axis = 1, .reduce = r, .include_self = self});
      group.dtypes(kNumbers).tolerance(DType::kBF16, 3e-2);
      if (extremum) group.no_second_order("piecewise linear");
      auto other = s.add({numbers({4, 3}).transposed(), index_in({2, 3}, -4, 4), numbers({2, 3})},
                         ScatterReduceAttrs{.axis = 0, .reduce = r, .include_self = self});
      if (extremum) other.no_second_order("piecewise linear");
    }
  }
  s.add({numbers({}), index_in({}, 0, 1), numbers({})}, ScatterReduceAttrs{}).name("numbers");
  s.add({in({0, 3}), index_in({0, 2}, 0, 3), in({0, 2})}, ScatterReduceAttrs{.axis = 1})
      .name("empty");
  s.error({in({3}), index_in({2}, 3, 4), in({2})}, ScatterReduceAttrs{}, kIndex, "index 3");
  s.error({in({3}), index_in({2}, 0, 3), in({3})}, ScatterReduceAttrs{}, kValue, "do not fit");
  s.error({in({3}), in({2}), in({2})}, ScatterReduceAttrs{}, kType, "i32 or i64");
  s.error({in({3}), index_in({2}, 0, 3), in({2}).as(DType::kF64)}, ScatterReduceAttrs{}, kType,
          "src expects");
  s.error({bool_in({3}), index_in({2}, 0, 3), bool_in({2})}, ScatterReduceAttrs{}, kType,
          "real numbers");
}

RUTILE_SAMPLES(index_reduce) {
  for (const IndexReduce r : kReductions) {
    const bool extremum = r == IndexReduce::kAmax || r == IndexReduce::kAmin;
    for (const bool self : {true, false}) {
      auto group = s.add({numbers({3, 5}), index_in({7}, 0, 5), numbers({3, 7})},
                         ScatterReduceAttrs{.axis = 1, .reduce = r, .include_self = self});
      group.dtypes(kNumbers).tolerance(DType::kBF16, 3e-2);
      if (extremum) group.no_second_order("piecewise linear");
    }
  }
  s.add({numbers({4, 3}).gaps(), index_in({2}, 0, 4), numbers({2, 3})},
        ScatterReduceAttrs{.axis = -2});
  s.add({in({0, 3}), index_in({2}, 0, 3), in({0, 2})}, ScatterReduceAttrs{.axis = 1}).name("empty");
  s.error({in({3, 2}), index_in({2}, 3, 4), in({2, 2})}, ScatterReduceAttrs{}, kIndex, "index 3");
  s.error({in({3, 2}), index_in({2}, 0, 3), in({2})}, ScatterReduceAttrs{}, kValue, "src expects");
  s.error({in({3}), index_in({1, 2}, 0, 3), in({2})}, ScatterReduceAttrs{}, kValue, "rank 1");
  s.error({in({}), index_in({2}, 0, 3), in({2})}, ScatterReduceAttrs{}, kIndex, "no axes");
}

RUTILE_SAMPLES(put) {
  s.add({in({3, 4}), in({2, 2}).as(DType::kI64).values({0, 5, -1, 7}), in({4})}, PutAttrs{})
      .dtypes(kEveryType);
  s.add({in({3, 4}), index_in({6}, 0, 12), in({2, 3})}, PutAttrs{true}).dtypes(kNumbers);
  s.add({in({3, 4}).transposed(), in({2}).as(DType::kI32).values({1, 6}), in({2})}, PutAttrs{});
  s.add({in({}), index_in({}, 0, 1), in({})}, PutAttrs{}).name("number");
  s.add({in({3}), index_in({0}, 0, 1), in({0})}, PutAttrs{}).name("nothing");
  s.error({in({3}), index_in({2}, 3, 4), in({2})}, PutAttrs{}, kIndex, "index 3");
  s.error({in({3}), index_in({2}, 0, 3), in({3})}, PutAttrs{}, kValue, "src expects 2");
  s.add({in({3, 4}), index_in({6}, 0, 12), in({2, 3})}, PutAttrs{true}).dtypes(kComplexes);
  s.error({bool_in({3}), index_in({2}, 0, 3), bool_in({2})}, PutAttrs{true}, kType, "numbers");
}

RUTILE_SAMPLES(select_scatter) {
  s.add({in({3, 4, 2}), in({3, 2})}, SelectScatterAttrs{1, 2}).dtypes(kEveryType);
  s.add({in({3, 4}).transposed(), in({3})}, SelectScatterAttrs{-1, -4});
  s.add({in({3}), in({})}, SelectScatterAttrs{0, 1});
  s.add({in({3, 0}), in({0})}, SelectScatterAttrs{0, 1}).name("empty");
  s.error({in({3, 4}), in({3})}, SelectScatterAttrs{1, 4}, kIndex, "index 4");
  s.error({in({3, 4}), in({4})}, SelectScatterAttrs{1, 1}, kValue, "src expects shape [3]");
  s.error({in({}), in({})}, SelectScatterAttrs{}, kIndex, "no axes");
  s.error({in({3}), in({}).as(DType::kF64)}, SelectScatterAttrs{}, kType, "src expects");
}

RUTILE_SAMPLES(slice_scatter) {
  s.add({in({5, 4}), in({2, 4})}, SliceScatterAttrs{.axis = 0, .start = 1, .end = -1, .step = 2})
      .dtypes(kEveryType);
  s.add({in({5, 4}).gaps(), in({5, 3})}, SliceScatterAttrs{.axis = -1, .start = -3});
  s.add({in({2, 6, 3, 3}).channels_last(), in({2, 2, 3, 3})},
        SliceScatterAttrs{.axis = 1, .start = 3, .end = 5});
  s.add({in({5}), in({0})}, SliceScatterAttrs{.start = 4, .end = 2}).name("nothing");
  s.error({in({5}), in({2})}, SliceScatterAttrs{.start = 1}, kValue, "src expects shape [4]");
  s.error({in({5}), in({2})}, SliceScatterAttrs{.step = 0}, kValue, "step >= 1");
  s.error({in({5}), in({5})}, SliceScatterAttrs{.axis = 1}, kIndex, "axis 1");
}

RUTILE_SAMPLES(diagonal_scatter) {
  s.add({in({3, 5}), in({3})}, DiagonalAttrs{}).dtypes(kEveryType);
  s.add({in({4, 3}).transposed(), in({3})}, DiagonalAttrs{.offset = -1});
  s.add({in({2, 3, 4, 5}), in({3, 5, 2})}, DiagonalAttrs{.offset = 2, .axis1 = 0, .axis2 = -2});
  s.add({in({3, 3}), in({0})}, DiagonalAttrs{.offset = 5}).name("nothing");
  s.error({in({3, 3}), in({2})}, DiagonalAttrs{}, kValue, "src expects shape [3]");
  s.error({in({3}), in({3})}, DiagonalAttrs{}, kIndex, "axis");
  s.error({in({3, 3}), in({3})}, DiagonalAttrs{.axis1 = 1}, kValue, "named twice");
}

RUTILE_SAMPLES(unravel_index) {
  s.add({in({3, 2}).as(DType::kI64).values({0, 5, 23, 7, 12, 11})}, UnravelIndexAttrs{{2, 3, 4}});
  s.add({in({4}).as(DType::kI32).values({0, 1, 3, 2})}, UnravelIndexAttrs{{4}});
  s.add({in({3}).as(DType::kU8).values({0, 1, 3})}, UnravelIndexAttrs{{2, 2}});
  s.add({in({0}).as(DType::kI64)}, UnravelIndexAttrs{{2, 2}}).name("empty");
  s.error({in({2}).as(DType::kI64).values({0, 24})}, UnravelIndexAttrs{{2, 3, 4}}, kIndex,
          "out of range");
  s.error({in({2}).as(DType::kI64).values({0, -1})}, UnravelIndexAttrs{{2, 3}}, kIndex,
          "out of range");
  s.error({in({2})}, UnravelIndexAttrs{{2, 3}}, kType, "integers");
  s.error({index_in({2}, 0, 1)}, UnravelIndexAttrs{}, kValue, "at least one dimension");
}

RUTILE_SAMPLES(embedding_bag) {
  const Input bags = index_in({3, 4}, 0, 6), flat = index_in({7}, 0, 6);
  const Input offsets = in({4}).as(DType::kI64).values({0, 2, 2, 5});
  const Input table = in({6, 5}).distinct(-2, 2);
  for (const BagMode mode : {BagMode::kSum, BagMode::kMean, BagMode::kMax}) {
    const bool max = mode == BagMode::kMax;
    const char* why = "piecewise linear";
    auto a = s.add({bags, table}, EmbeddingBagAttrs{.mode = mode});
    a.dtypes(kFloats);
    auto b = s.add({flat, table, offsets}, EmbeddingBagAttrs{.mode = mode, .padding_idx = 2});
    auto c = s.add({flat, table, offsets.values({0, 3, 3, 7})},
                   EmbeddingBagAttrs{.mode = mode, .include_last_offset = true});
    if (max) {
      a.no_second_order(why);
      b.no_second_order(why);
      c.no_second_order(why);
    }
  }
  s.add({bags, table, none(), in({3, 4})}, EmbeddingBagAttrs{.mode = BagMode::kSum});
  s.add({flat, table, offsets, in({7})}, EmbeddingBagAttrs{.mode = BagMode::kSum});
  s.add({index_in({2, 0}, 0, 1), table}, EmbeddingBagAttrs{}).name("empty bags");
  s.error({bags, table.values({1})}, EmbeddingBagAttrs{.padding_idx = 6}, kIndex, "padding_idx 6");
  s.error({flat, table}, EmbeddingBagAttrs{}, kValue, "need offsets");
  s.error({bags, table, offsets}, EmbeddingBagAttrs{}, kValue, "rank 1 only");
  s.error({bags, table, none(), in({3, 4})}, EmbeddingBagAttrs{}, kValue, "mode sum");
  s.error({bags.values({6}), table}, EmbeddingBagAttrs{}, kIndex, "6");
  s.error({in({3, 4}), table}, EmbeddingBagAttrs{}, kType, "i32 or i64");
}

}  // namespace
}  // namespace rutile::samples

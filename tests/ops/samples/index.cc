// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/index.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace ops;

RUTILE_SAMPLES(full) {
  for (const DType t : {DType::kBool, DType::kU8, DType::kI16, DType::kI64, DType::kBF16,
                        DType::kF16, DType::kF32, DType::kF64}) {
    s.add({}, FullAttrs{{2, 3}, 1, t});
    s.add({}, FullAttrs{{5}, 2.5, t});
  }
  s.add({}, FullAttrs{{}, -1, DType::kF32}).name("0-d");
  s.add({}, FullAttrs{{0, 2}, 1, DType::kF32}).name("empty");
  s.add({}, FullAttrs{{300, 300}, 0.1, DType::kF32});
  s.add({}, FullAttrs{{300, 300}, 0, DType::kBF16});
  s.add({}, FullAttrs{{3}, std::nan(""), DType::kF32});
  s.error({}, FullAttrs{{-1}, 0, DType::kF32}, ErrorCode::kValue, "negative");
  s.error({}, FullAttrs{{1 << 30, 1 << 30}, 0, DType::kF32}, ErrorCode::kValue, "2^48");
}

RUTILE_SAMPLES(arange) {
  s.add({}, ArangeAttrs{0, 5, 1, {}});
  s.add({}, ArangeAttrs{5, -3, -2, {}});
  s.add({}, ArangeAttrs{0, 1, 0.1, {}});
  s.add({}, ArangeAttrs{0, 1, 0.25, DType::kF64});
  s.add({}, ArangeAttrs{2, 9, 3, DType::kBF16});
  s.add({}, ArangeAttrs{0, 5, 1, DType::kI32});
  s.add({}, ArangeAttrs{5, 5, 1, {}}).name("empty");
  s.add({}, ArangeAttrs{5, 0, 1, {}}).name("the other way");
  s.error({}, ArangeAttrs{0, 5, 0, {}}, ErrorCode::kValue, "step other than 0");
  s.error({}, ArangeAttrs{0, std::nan(""), 1, {}}, ErrorCode::kValue, "finite");
  s.error({}, ArangeAttrs{0, 1e300, 1, {}}, ErrorCode::kValue, "2^48");
  s.error({}, ArangeAttrs{0, 5, 1, DType::kBool}, ErrorCode::kType, "integer or floating");
}

RUTILE_SAMPLES(one_hot) {
  for (const DType t : kEveryType) s.add({index_in({2, 3}, 0, 7)}, OneHotAttrs{7, t});
  s.add({in({4}).as(DType::kI32).ints(0, 3)}, OneHotAttrs{3, DType::kF32});
  s.add({index_in({}, 0, 3)}, OneHotAttrs{3, DType::kF32}).name("0-d");
  s.add({index_in({0}, 0, 3)}, OneHotAttrs{3, DType::kF32}).name("empty");
  s.add({index_in({4, 3}, 0, 9).transposed()}, OneHotAttrs{9, DType::kF32});
  s.add({index_in({200}, 0, 1000)}, OneHotAttrs{1000, DType::kF32});
  s.error({in({2}).as(DType::kI64).values({0, 3})}, OneHotAttrs{3}, ErrorCode::kIndex,
          "index 3 at [1] is out of range: expects 0 to 2");
  s.error({in({1}).as(DType::kI64).values({-1})}, OneHotAttrs{3}, ErrorCode::kIndex,
          "out of range");
  s.error({in({2})}, OneHotAttrs{3}, ErrorCode::kType, "i32 or i64");
  s.error({index_in({2}, 0, 1)}, OneHotAttrs{0}, ErrorCode::kValue, "positive depth");
}

RUTILE_SAMPLES(embedding) {
  s.add({index_in({2, 5}, 0, 7), in({7, 4})}, EmbeddingAttrs{}).dtypes(kEveryType);
  s.add({index_in({6}, 0, 7), in({7, 3})}, EmbeddingAttrs{2})
      .name("padding_idx")
      .no_gradient("the padding row takes none");
  s.add({in({6}).as(DType::kI32).ints(0, 7), in({7, 37})}, EmbeddingAttrs{});
  s.add({index_in({}, 0, 7), in({7, 4})}, EmbeddingAttrs{}).name("0-d");
  s.add({index_in({0}, 0, 7), in({7, 4})}, EmbeddingAttrs{}).name("no ids");
  s.add({index_in({3, 4}, 0, 5).transposed(), in({5, 6}).transposed()}, EmbeddingAttrs{});
  s.add({index_in({3000}, 0, 11), in({11, 65})}, EmbeddingAttrs{});
  s.error({in({2}).as(DType::kI64).values({1, 7}), in({7, 4})}, EmbeddingAttrs{}, ErrorCode::kIndex,
          "index 7 at [1] is out of range: expects 0 to 6");
  s.error({in({1}).as(DType::kI64).values({-1}), in({7, 4})}, EmbeddingAttrs{}, ErrorCode::kIndex,
          "out of range");
  s.error({index_in({2}, 0, 1), in({0, 4})}, EmbeddingAttrs{}, ErrorCode::kIndex, "empty axis");
  s.error({index_in({2}, 0, 1), in({7})}, EmbeddingAttrs{}, ErrorCode::kValue, "[rows, width]");
  s.error({index_in({2}, 0, 1), in({7, 4})}, EmbeddingAttrs{7}, ErrorCode::kValue, "padding_idx 7");
  s.error({in({2}), in({7, 4})}, EmbeddingAttrs{}, ErrorCode::kType, "i32 or i64");
}

RUTILE_SAMPLES(embedding_grad) {
  s.add({in({2, 5, 4}), index_in({2, 5}, 0, 7)}, EmbeddingGradAttrs{7, -1, {}}).dtypes(kFloats);
  s.add({in({6, 3}), index_in({6}, 0, 7)}, EmbeddingGradAttrs{7, 2, {}}).name("padding_idx");
  s.add({in({6, 3}).as(DType::kBF16), index_in({6}, 0, 3)}, EmbeddingGradAttrs{3, -1, DType::kF32})
      .name("f32 of bf16");
  s.add({in({0, 4}), index_in({0}, 0, 7)}, EmbeddingGradAttrs{7, -1, {}}).name("no ids");
  s.add({in({4}), index_in({}, 0, 7)}, EmbeddingGradAttrs{7, -1, {}}).name("0-d ids");
  s.add({in({5, 4}).transposed(), index_in({5}, 0, 3)}, EmbeddingGradAttrs{3, -1, {}});
  s.add({in({3000, 65}), index_in({3000}, 0, 11)}, EmbeddingGradAttrs{11, -1, {}})
      .tolerance(DType::kF32, 1e-4);
  s.error({in({2, 4}), in({2}).as(DType::kI64).values({0, 7})}, EmbeddingGradAttrs{7, -1, {}},
          ErrorCode::kIndex, "index 7 at [1]");
  s.error({in({2, 4}), index_in({3}, 0, 7)}, EmbeddingGradAttrs{7, -1, {}}, ErrorCode::kValue,
          "ids' shape");
  s.error({in({2, 4}), index_in({2}, 0, 7)}, EmbeddingGradAttrs{-7, -1, {}}, ErrorCode::kValue,
          "negative");
}

RUTILE_SAMPLES(gather) {
  s.add({in({5, 3}), index_in({4}, -5, 5)}, GatherAttrs{0}).dtypes(kEveryType);
  s.add({in({3, 5, 2}), index_in({2, 3}, -5, 5)}, GatherAttrs{1});
  s.add({in({3, 5}), index_in({}, 0, 5)}, GatherAttrs{-1}).name("0-d index");
  s.add({in({}), index_in({}, 0, 1)}, GatherAttrs{0}).name("number");
  s.add({in({}), index_in({3}, -1, 1)}, GatherAttrs{-1}).name("number, many times");
  s.add({in({}), index_in({1}, 0, 1)}, GatherAttrs{0}).name("number, once");
  s.add({in({3, 5}), in({4}).as(DType::kI32).ints(0, 3)}, GatherAttrs{0});
  s.add({in({3, 0}), index_in({2}, 0, 3)}, GatherAttrs{0}).name("empty slices");
  s.add({in({3, 5}), index_in({0}, 0, 3)}, GatherAttrs{0}).name("no index");
  s.add({in({5, 4}).transposed(), index_in({2, 3}, 0, 5).transposed()}, GatherAttrs{0});
  s.add({in({40, 300, 7}), index_in({500}, 0, 300)}, GatherAttrs{1});
  s.error({in({3, 5}), in({1}).as(DType::kI64).values({-4})}, GatherAttrs{0}, ErrorCode::kIndex,
          "index -4 at [0] is out of range: expects -3 to 2");
  s.error({in({3, 5}), in({1})}, GatherAttrs{0}, ErrorCode::kType, "i32 or i64");
  s.error({in({3, 5}), index_in({1}, 0, 1)}, GatherAttrs{2}, ErrorCode::kIndex, "axis 2");
  s.error({in({1, 1, 1, 1, 1}), index_in({1, 1, 1, 1, 1}, 0, 1)}, GatherAttrs{0}, ErrorCode::kValue,
          "9 dimensions");
}

RUTILE_SAMPLES(index_add) {
  s.add({in({4, 3}), index_in({4}, -5, 5)}, IndexAddAttrs{0, 5})
      .dtypes(joined(kNumbers, kComplexes));
  s.add({in({3, 2, 3, 2}), index_in({2, 3}, -5, 5)}, IndexAddAttrs{1, 5});
  s.add({in({3}), index_in({}, 0, 5)}, IndexAddAttrs{1, 5}).name("0-d index");
  s.add({in({0, 3}), index_in({0}, 0, 5)}, IndexAddAttrs{0, 5}).name("no index");
  s.add({in({4, 3}).transposed(), index_in({4}, 0, 2)}, IndexAddAttrs{0, 2});
  s.add({in({4, 900, 7}), index_in({900}, 0, 13)}, IndexAddAttrs{1, 13})
      .tolerance(DType::kF32, 1e-4);
  s.error({in({2, 3}), in({2}).as(DType::kI64).values({0, 5})}, IndexAddAttrs{0, 5},
          ErrorCode::kIndex, "index 5 at [1]");
  s.error({in({2, 3}), index_in({3}, 0, 1)}, IndexAddAttrs{0, 5}, ErrorCode::kValue,
          "index's shape");
  s.error({in({2, 3}), index_in({2}, 0, 1)}, IndexAddAttrs{0, -5}, ErrorCode::kValue, "negative");
  s.error({bool_in({2}), index_in({2}, 0, 1)}, IndexAddAttrs{0, 5}, ErrorCode::kType, "number");
}

RUTILE_SAMPLES(take_along_axis) {
  s.add({in({5, 3}), index_in({4, 3}, -5, 5)}, TakeAlongAttrs{0}).dtypes(kEveryType);
  s.add({in({3, 5, 2}), index_in({3, 7, 2}, 0, 5)}, TakeAlongAttrs{1});
  s.add({in({3, 5}), index_in({2, 5}, 0, 5)}, TakeAlongAttrs{1}).name("fewer rows");
  s.add({in({4}), in({6}).as(DType::kI32).ints(0, 4)}, TakeAlongAttrs{0});
  s.add({in({3, 5}), index_in({3, 0}, 0, 5)}, TakeAlongAttrs{1}).name("empty");
  s.add({in({}), index_in({}, -1, 1)}, TakeAlongAttrs{0}).name("number");
  s.add({in({}), index_in({1}, 0, 1)}, TakeAlongAttrs{0}).name("number by a line");
  s.add({in({4, 5}).transposed(), index_in({4, 5}, 0, 5).transposed()}, TakeAlongAttrs{1});
  s.add({in({300, 70}), index_in({300, 1}, 0, 70)}, TakeAlongAttrs{-1});
  s.error({in({3, 5}), in({3, 1}).as(DType::kI64).values({0, 5, 0})}, TakeAlongAttrs{1},
          ErrorCode::kIndex, "index 5 at [1,0] is out of range: expects -5 to 4");
  s.error({in({3, 5}), in({3, 1}).as(DType::kI64).values({0, -1, 0})}, TakeAlongAttrs{1, false},
          ErrorCode::kIndex, "index -1 at [1,0] is out of range: expects 0 to 4");
  s.error({in({3, 5}), index_in({4, 1}, 0, 5)}, TakeAlongAttrs{1}, ErrorCode::kValue,
          "does not fit");
  s.error({in({3, 5}), index_in({3}, 0, 5)}, TakeAlongAttrs{1}, ErrorCode::kValue, "does not fit");
}

RUTILE_SAMPLES(scatter_add) {
  s.add({in({5, 3}), index_in({4, 3}, -5, 5), in({4, 3})}, TakeAlongAttrs{0})
      .dtypes(joined(kNumbers, kComplexes));
  s.add({in({3, 5, 2}), index_in({3, 7, 2}, 0, 5), in({3, 7, 2})}, TakeAlongAttrs{1});
  s.add({in({3, 5}), index_in({2, 5}, 0, 5), in({2, 5})}, TakeAlongAttrs{1}).name("fewer rows");
  s.add({in({4}), index_in({0}, 0, 4), in({0})}, TakeAlongAttrs{0}).name("nothing");
  s.add({in({}), index_in({}, -1, 1), in({})}, TakeAlongAttrs{-1}).name("number");
  s.add({in({4, 5}).transposed(), index_in({4, 5}, 0, 5), in({4, 5}).transposed()},
        TakeAlongAttrs{1});
  s.add({in({300, 70}), index_in({300, 90}, 0, 70), in({300, 90})}, TakeAlongAttrs{-1});
  s.error({in({3}), in({2}).as(DType::kI64).values({0, 3}), in({2})}, TakeAlongAttrs{0},
          ErrorCode::kIndex, "index 3 at [1]");
  s.error({in({3}), index_in({2}, 0, 3), in({3})}, TakeAlongAttrs{0}, ErrorCode::kValue,
          "src expects index's shape");
  s.error({in({3}), index_in({2}, 0, 3), in({2}).as(DType::kF64)}, TakeAlongAttrs{0},
          ErrorCode::kType, "src expects x's dtype");
}

RUTILE_SAMPLES(topk) {
  s.add({in({4, 9}).distinct(-50, 50)}, TopkAttrs{3}).dtypes(kFloats);
  s.add({in({4, 9}).distinct(-50, 50)}, TopkAttrs{2, 0, false});
  s.add({in({3, 5, 4}).distinct()}, TopkAttrs{2, 1});
  s.add({in({8}).as(DType::kI32)}, TopkAttrs{4}).name("ties");
  s.add({in({4, 30})}, TopkAttrs{5}).dtypes(joined(kInts, {DType::kBool})).name("ties");
  s.add({in({6}).filled(specials())}, TopkAttrs{6}).no_gradient("ties and NaN");
  s.add({in({6}).distinct()}, TopkAttrs{0}).name("none");
  s.add({in({0, 3}).distinct()}, TopkAttrs{1});
  s.add({in({4, 9}).transposed().distinct()}, TopkAttrs{9});
  s.add({in({7, 1000}).distinct(-500, 500)}, TopkAttrs{5});
  s.error({in({4})}, TopkAttrs{5}, ErrorCode::kValue, "k is 5, expects 0 to 4");
  s.error({in({4})}, TopkAttrs{-1}, ErrorCode::kValue, "k is -1");
  s.add({in({})}, TopkAttrs{1}).name("number");
  s.error({in({})}, TopkAttrs{2}, ErrorCode::kValue, "k is 2");
}

RUTILE_SAMPLES(sort) {
  s.add({in({4, 9}).distinct(-50, 50)}, SortAttrs{}).dtypes(kFloats);
  s.add({in({4, 9}).distinct(-50, 50)}, SortAttrs{0, true});
  s.add({in({4, 30})}, SortAttrs{}).dtypes(joined(kInts, {DType::kBool})).name("ties");
  s.add({in({9}).filled(specials())}, SortAttrs{}).dtypes(kFloats).no_gradient("ties and NaN");
  s.add({in({9}).filled(specials())}, SortAttrs{-1, true}).no_gradient("ties and NaN");
  s.add({in({0, 3}).distinct()}, SortAttrs{});
  s.add({in({3, 0}).distinct()}, SortAttrs{});
  s.add({in({4, 9}).transposed().distinct()}, SortAttrs{});
  s.add({in({5, 2000}).distinct(-500, 500)}, SortAttrs{});
  s.add({in({})}, SortAttrs{}).name("number");
  s.error({in({})}, SortAttrs{1}, ErrorCode::kIndex, "axis 1");
}

RUTILE_SAMPLES(nonzero) {
  s.add({in({3, 4}).ints(-1, 2)}).dtypes(kEveryType);
  s.add({in({3, 4, 2}).ints(0, 2).transposed()});
  s.add({in({}).values({0})}).name("0-d zero");
  s.add({in({}).values({1})}).name("0-d one");
  s.add({in({0, 4})}).name("empty");
  s.add({in({6}).filled(specials())});
  s.error({}, ErrorCode::kValue, "expects 1 inputs, got 0");
}

}  // namespace
}  // namespace rutile::samples

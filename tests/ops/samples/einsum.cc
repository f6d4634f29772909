// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/einsum.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;  // attributes

constexpr ErrorCode kIndex = ErrorCode::kIndex;
constexpr ErrorCode kType = ErrorCode::kType;
constexpr ErrorCode kValue = ErrorCode::kValue;

RUTILE_SAMPLES(einsum) {
  const auto eq = [](const char* text) { return EinsumAttrs{text}; };
  s.add({in({3, 4}), in({4, 5})}, eq("ij,jk->ik")).dtypes(joined(kFloats, kInts));
  s.add({in({3, 4}), in({4, 5})}, eq("ij,jk"));
  s.add({in({2, 3, 4}), in({2, 4, 5})}, eq("bij, bjk -> kbi"));
  s.add({in({2, 3, 4}), in({4, 5})}, eq("...j,jk->...k"));
  s.add({in({2, 1, 3, 4}), in({5, 4, 2})}, eq("...ij,...jk->...ik"));
  s.add({in({3, 3})}, eq("ii"));
  s.add({in({3, 3, 2})}, eq("iij->ji"));
  s.add({in({3, 4})}, eq("ij->ji"));
  s.add({in({3, 4})}, eq("ij->"));
  s.add({in({3}), in({4})}, eq("i,j->ji"));
  s.add({in({3}), in({3})}, eq("i,i"));
  s.add({in({}), in({3})}, eq(",i->i"));
  s.add({in({2, 3}), in({3, 4}), in({4, 2, 5})}, eq("ab,bc,cad->d"));
  s.add({in({2, 3, 4}), in({2, 3, 4})}, eq("ijk,ijk->jk"));
  s.add({in({2, 1}), in({1, 4})}, eq("ij,jk->ijk"));
  s.add({in({2, 1}), in({3, 4})}, eq("ij,jk->ik")).name("size 1 spreads");
  s.add({in({2, 0}), in({0, 4})}, eq("ij,jk->ik")).name("empty sum");
  s.add({in({0, 3}), in({3, 4})}, eq("ij,jk->ik")).name("empty");
  s.add({in({2, 3, 4, 2}).channels_last(), in({3, 2})}, eq("nchw,cw->nh"));
  s.error({in({3}), in({4})}, eq("i,i"), kValue, "size 4 where another has 3");
  s.error({in({3})}, eq("ij->i"), kValue, "does not fit");
  s.error({in({3})}, eq("i,j->i"), kValue, "2 operands, got 1");
  s.error({in({3})}, eq("i->ii"), kValue, "twice");
  s.error({in({3})}, eq("i->j"), kValue, "no operand has");
  s.error({in({3})}, eq("i&->i"), kValue, "where letters stand");
  s.error({in({3})}, eq("i->...i->"), kValue, "where letters stand");
  s.error({bool_in({3})}, eq("i->i"), kType, "numbers");
  s.error({in({1, 1, 1, 1, 1}), in({1, 1, 1, 1, 1})}, eq("abcde,fghij->abcdefghij"), kValue,
          "8 dimensions");
}
RUTILE_SAMPLES(tensordot) {
  s.add({in({2, 3, 4}), in({4, 3, 5})}, TensordotAttrs{{1, 2}, {1, 0}})
      .dtypes(joined(kFloats, kInts));
  s.add({in({2, 3}), in({4})}, TensordotAttrs{}).name("outer");
  s.add({in({2, 3}), in({2, 3})}, TensordotAttrs{{0, 1}, {0, 1}});
  s.add({in({2, 0}), in({0, 3})}, TensordotAttrs{{1}, {0}}).name("empty sum");
  s.error({in({2, 3}), in({2, 3})}, TensordotAttrs{{1}, {0}}, kValue, "sizes to sum");
  s.error({in({2, 3}), in({2, 3})}, TensordotAttrs{{1}, {}}, kValue, "pairs");
  s.error({in({2, 3}), in({2, 3})}, TensordotAttrs{{1, 1}, {0, 0}}, kValue, "twice");
  s.error({in({2}), in({2})}, TensordotAttrs{{1}, {0}}, kIndex, "axis 1");
  s.error({bool_in({2}), bool_in({2})}, TensordotAttrs{}, kType, "numbers");
}
RUTILE_SAMPLES(inner) {
  s.add({in({2, 3}), in({4, 3})}).dtypes(joined(kFloats, kInts));
  s.add({in({3}), in({3})});
  s.add({in({}), in({3})});
  s.error({in({2}), in({3})}, kValue, "sizes to sum");
}
RUTILE_SAMPLES(kron) {
  s.add({in({2, 3}), in({4, 2})}).dtypes(joined(kFloats, kInts));
  s.add({in({2}), in({4, 2})});
  s.add({in({4, 3}), in({5, 6})}).dtypes(joined(kFloats, kComplexes));
  s.add({in({16, 17}), in({16, 3})}).dtypes({DType::kF32, DType::kF64}).name("short rows");
  s.add({in({16, 17}), in({16, 3})})
      .dtypes(joined(kComplexes, {DType::kBF16, DType::kI32}))
      .no_gradient("that of f64 is checked")
      .name("short rows");
  s.add({in({4, 3}).transposed(), in({2, 4, 1}).gaps()});
  s.add({in({4, 2}), in({5, 70})});
  s.add({in({}), in({3})});
  s.add({in({0}), in({3})}).name("empty");
  s.add({bool_in({2, 3}), bool_in({4, 2})}).name("bool");
  s.error({in({1, 1, 1, 1, 1}), in({3})}, kValue, "rank 4");
}
RUTILE_SAMPLES(cross) {
  s.add({in({4, 3}), in({4, 3})}, CrossAttrs{})
      .dtypes({DType::kF32, DType::kF64, DType::kF16, DType::kI32, DType::kI64, DType::kU8})
      .tolerance(DType::kF16, 8e-3);
  s.add({in({4, 3}), in({4, 3})}, CrossAttrs{})
      .dtypes({DType::kBF16, DType::kI8, DType::kI16, DType::kU16, DType::kU32, DType::kU64})
      .tolerance(DType::kBF16, 6e-2);
  s.add({in({3, 4}), in({3, 1})}, CrossAttrs{0});
  s.add({in({0, 3}), in({0, 3})}, CrossAttrs{}).name("empty");
  s.error({in({4}), in({4})}, CrossAttrs{}, kValue, "size 3");
  s.error({in({3}), in({1, 3})}, CrossAttrs{}, kValue, "one rank");
  s.error({in({3}), in({3})}, CrossAttrs{1}, kIndex, "axis 1");
}
RUTILE_SAMPLES(cdist) {
  s.add({in({4, 3}), in({5, 3})}, CdistAttrs{}).dtypes(kFloats);
  for (const double p : {0.0, 1.0, 1.5, 3.0, HUGE_VAL}) {
    s.add({in({4, 3}).distinct(-2, 2), in({5, 3}).distinct(-1.97, 2.04)}, CdistAttrs{p})
        .no_second_order("piecewise for some p");
  }
  s.add({in({2, 1, 4, 3}), in({6, 5, 3})}, CdistAttrs{});
  s.add({in({4, 0}), in({5, 0})}, CdistAttrs{}).name("no numbers");
  s.add({in({0, 3}), in({5, 3})}, CdistAttrs{3}).name("no rows");
  s.error({in({4, 3}), in({5, 2})}, CdistAttrs{}, kValue, "rows differ");
  s.error({in({3}), in({5, 3})}, CdistAttrs{}, kValue, "rank 2 to 7");
  s.error({in({4, 3}), in({5, 3})}, CdistAttrs{-1}, kValue, "p >= 0");
  s.error({in({4, 3}).as(DType::kI32), in({5, 3}).as(DType::kI32)}, CdistAttrs{}, kType, "floats");
}
RUTILE_SAMPLES(addmm) {
  s.add({in({3, 5}), in({3, 4}), in({4, 5})}, AddmmAttrs{0.5, 2}).dtypes(kComplexes);
  s.add({in({3, 5}), in({3, 4}), in({4, 5})}, AddmmAttrs{0.5, 2})
      .dtypes(kFloats)
      .tolerance(DType::kBF16, 6e-2)
      .tolerance(DType::kF16, 8e-3);
  s.add({in({5}), in({3, 4}), in({4, 5})}, AddmmAttrs{});
  s.add({in({1}).values({NAN}).constant(), in({3, 4}), in({4, 5})}, AddmmAttrs{.beta = 0});
  s.add({in({3, 5}), in({3, 0}), in({0, 5})}, AddmmAttrs{}).name("empty sum");
  s.error({in({3, 5}), in({3, 4}), in({3, 5})}, AddmmAttrs{}, kValue, "inner sizes");
  s.error({in({2, 5}), in({3, 4}), in({4, 5})}, AddmmAttrs{}, kValue, "does not fit");
  s.error({in({5}), in({4}), in({4, 5})}, AddmmAttrs{}, kValue, "rank 2");
  s.add({in({5}).ints(-9, 9), in({3, 4}).ints(-9, 9), in({4, 5}).ints(-9, 9)}, AddmmAttrs{3, -2})
      .dtypes({DType::kI32, DType::kI64});
  s.add({in({5}).ints(0, 3), in({3, 4}).ints(0, 3), in({4, 5}).ints(0, 3)}, AddmmAttrs{3, 2})
      .dtypes(kInts);
  s.error({in({5}).as(DType::kI32), in({3, 4}).as(DType::kI32), in({4, 5}).as(DType::kI32)},
          AddmmAttrs{0.5, 1}, kType, "by integers");
}
RUTILE_SAMPLES(baddbmm) {
  s.add({in({2, 3, 5}), in({2, 3, 4}), in({2, 4, 5})}, AddmmAttrs{0.5, 2}).dtypes(kComplexes);
  s.add({in({2, 3, 5}), in({2, 3, 4}), in({2, 4, 5})}, AddmmAttrs{0.5, 2})
      .dtypes(kFloats)
      .tolerance(DType::kBF16, 6e-2)
      .tolerance(DType::kF16, 8e-3);
  s.add({in({3, 1}), in({2, 3, 4}), in({2, 4, 5})}, AddmmAttrs{});
  s.error({in({5}), in({2, 3, 4}), in({3, 4, 5})}, AddmmAttrs{}, kValue, "as many matrices");
  s.error({in({5}), in({3, 4}), in({4, 5})}, AddmmAttrs{}, kValue, "rank 3");
  s.add({in({3, 5}).ints(0, 3), in({2, 3, 4}).ints(0, 3), in({2, 4, 5}).ints(0, 3)}, AddmmAttrs{})
      .dtypes(kInts);
}

}  // namespace
}  // namespace rutile::samples

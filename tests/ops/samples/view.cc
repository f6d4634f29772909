// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/view.h"

#include "rutile/ops/bitcast.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace ops;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

RUTILE_SAMPLES(reshape) {
  s.add({in({2, 3, 4})}, ReshapeAttrs{{6, 4}}).dtypes(kEveryType);
  s.add({in({2, 3, 4})}, ReshapeAttrs{{-1}});
  s.add({in({2, 3, 4})}, ReshapeAttrs{{2, -1, 2}});
  s.add({in({})}, ReshapeAttrs{{1, 1}}).name("0-d");
  s.add({in({1})}, ReshapeAttrs{{}});
  s.add({in({0, 3})}, ReshapeAttrs{{3, 0, 5}}).name("empty");
  s.add({in({2, 3, 4}).transposed()}, ReshapeAttrs{{2, 12}}).name("needs a copy");
  s.add({in({2, 3, 4}).gaps()}, ReshapeAttrs{{6, 4}}).name("gaps");
  s.add({in({2, 6, 3, 3}).channels_last()}, ReshapeAttrs{{2, 6, 9}}).name("view of channels-last");
  s.add({in({2, 6, 3, 3}).channels_last()}, ReshapeAttrs{{2, -1}}).name("copy of channels-last");
  s.add({in({5, 4}).expanded()}, ReshapeAttrs{{5, 2, 2}});
  s.add({in({5, 4}).expanded()}, ReshapeAttrs{{20}});
  s.error({in({2, 3})}, ReshapeAttrs{{4, 2}}, ErrorCode::kValue, "cannot reshape [2,3]");
  s.error({in({2, 3})}, ReshapeAttrs{{4, -1}}, ErrorCode::kValue, "cannot reshape");
  s.error({in({2, 3})}, ReshapeAttrs{{-1, -1}}, ErrorCode::kValue, "more than one -1");
  s.error({in({2, 3})}, ReshapeAttrs{{-2, 3}}, ErrorCode::kValue, "negative");
  s.error({in({0, 3})}, ReshapeAttrs{{0, -1}}, ErrorCode::kValue, "cannot reshape");
  s.error({in({2})}, ReshapeAttrs{{kEnd, kEnd}}, ErrorCode::kValue, "2^48");
}

RUTILE_SAMPLES(transpose) {
  s.add({in({2, 3, 4})}, TransposeAttrs{{2, 0, 1}}).dtypes(kEveryType);
  s.add({in({2, 3, 4})}, TransposeAttrs{}).name("reversed");
  s.add({in({2, 3, 4})}, TransposeAttrs{{0, -1, -2}});
  s.add({in({})}, TransposeAttrs{}).name("0-d");
  s.add({in({3, 0, 2})}, TransposeAttrs{{1, 2, 0}});
  s.add({in({2, 37, 3, 5})}, TransposeAttrs{{0, 2, 3, 1}});
  s.add({in({2, 6, 3, 5}).channels_last()}, TransposeAttrs{{1, 0, 2, 3}});
  s.add({in({4, 5}).gaps()}, TransposeAttrs{{1, 0}});
  s.error({in({2, 3})}, TransposeAttrs{{0}}, ErrorCode::kValue, "perm [0] has 1 entries");
  s.error({in({2, 3})}, TransposeAttrs{{0, 0}}, ErrorCode::kValue, "twice");
  s.error({in({2, 3})}, TransposeAttrs{{0, 2}}, ErrorCode::kIndex, "out of range");
}

RUTILE_SAMPLES(slice) {
  s.add({in({5, 6})}, SliceAttrs{{1, 2}, {4, 5}, {}}).dtypes(kEveryType);
  s.add({in({5, 6})}, SliceAttrs{{0, 1}, {kEnd, kEnd}, {2, 3}});
  s.add({in({5, 6})}, SliceAttrs{{-2}, {kEnd}, {}}).name("leading dimensions only");
  s.add({in({5, 6})}, SliceAttrs{{-100}, {-1}, {}}).name("clamped");
  s.add({in({5, 6})}, SliceAttrs{{4}, {2}, {}}).name("empty");
  s.add({in({5, 6})}, SliceAttrs{{}, {}, {}}).name("nothing to slice");
  s.add({in({5, 6})}, SliceAttrs{{kMin}, {kEnd}, {kEnd}}).name("extreme numbers");
  s.add({in({0, 4})}, SliceAttrs{{0, 1}, {3, 3}, {}});
  s.add({in({2, 6, 4, 5}).channels_last()}, SliceAttrs{{0, 1, 1}, {2, 4, 3}, {}});
  s.add({in({2, 37, 4, 5})}, SliceAttrs{{0, 0, 0, 1}, {2, 37, 4, 5}, {1, 1, 2, 2}});
  s.add({in({4, 5}).transposed()}, SliceAttrs{{1, 1}, {3, 4}, {}});
  s.error({in({5})}, SliceAttrs{{0}, {5}, {0}}, ErrorCode::kValue, "positive steps");
  s.error({in({5})}, SliceAttrs{{0}, {5}, {-1}}, ErrorCode::kValue, "positive steps");
  s.error({in({5})}, SliceAttrs{{0, 0}, {1, 1}, {}}, ErrorCode::kValue, "slices 2 dimensions");
  s.error({in({5})}, SliceAttrs{{0}, {}, {}}, ErrorCode::kValue, "differ in length");
}

RUTILE_SAMPLES(slice_grad) {
  s.add({in({3, 3})}, SliceGradAttrs{{5, 6}, {1, 2}, {4, 5}, {}}).dtypes(kEveryType);
  s.add({in({3, 2})}, SliceGradAttrs{{5, 6}, {0, 1}, {kEnd, kEnd}, {2, 3}});
  s.add({in({0, 6})}, SliceGradAttrs{{5, 6}, {4}, {2}, {}}).name("nothing");
  s.add({in({5, 6})}, SliceGradAttrs{{5, 6}, {}, {}, {}}).name("everything");
  s.add({in({2, 3, 2, 5}).channels_last()}, SliceGradAttrs{{2, 6, 4, 5}, {0, 1, 1}, {2, 4, 3}, {}});
  s.add({in({3, 3}).transposed()}, SliceGradAttrs{{5, 6}, {-4, 2}, {-1, 5}, {}});
  s.add({in({1})}, SliceGradAttrs{{5}, {3}, {kEnd}, {kEnd}});
  s.error({in({3})}, SliceGradAttrs{{5}, {0}, {2}, {}}, ErrorCode::kValue, "the slice of [5] is");
  s.error({in({3})}, SliceGradAttrs{{-5}, {0}, {3}, {}}, ErrorCode::kValue, "negative");
}

RUTILE_SAMPLES(split) {
  s.add({in({6, 4})}, SplitAttrs{{}, 3, 0}).dtypes(kEveryType);
  s.add({in({6, 4})}, SplitAttrs{{1, 3, 0}, 1, -1}).name("sizes, one of them 0");
  s.add({in({0, 4})}, SplitAttrs{{}, 2, 1});
  s.add({in({0, 4})}, SplitAttrs{{}, 2, 0}).name("an empty axis");
  s.add({in({2, 6, 3, 3}).channels_last()}, SplitAttrs{{2, 4}, 1, 1});
  s.add({in({6, 4}).transposed()}, SplitAttrs{{}, 2, 1});
  s.add({in({6, 4}).gaps()}, SplitAttrs{{}, 1, 0});
  s.error({in({6})}, SplitAttrs{{}, 4, 0}, ErrorCode::kValue, "does not split into 4 equal parts");
  s.error({in({6})}, SplitAttrs{{2, 3}, 1, 0}, ErrorCode::kValue, "do not sum to 6");
  s.error({in({6})}, SplitAttrs{{7, -1}, 1, 0}, ErrorCode::kValue, "do not sum to 6");
  s.error({in({6})}, SplitAttrs{{}, 0, 0}, ErrorCode::kValue, "number of outputs");
  s.error({in({6})}, SplitAttrs{{}, 2, 1}, ErrorCode::kIndex, "out of range");
}

// Placements of a copy's source.
void copies(SampleList& s, const std::function<void(const Input&, const DTypes&)>& add) {
  add(in({2, 3, 4}), kEveryType);
  add(in({3, 4}).transposed(), kEveryType);
  add(in({5, 4}).gaps(), kEveryType);
  add(in({5, 4}).expanded(), kEveryType);
  add(in({}), {DType::kF32});
  add(in({0, 3}), {DType::kF32});
  add(in({7}).gaps(), {DType::kF32});
  add(in({1, 1, 5}), {DType::kF32});
  for (const int64_t c : {1, 3, 6, 37}) {
    add(in({2, c, 5, 7}), {DType::kF32, DType::kBF16});
    add(in({2, c, 5, 7}).channels_last(), {DType::kF32, DType::kBF16, DType::kF64, DType::kU8});
  }
  add(in({75, 131}).transposed(), {DType::kF32, DType::kBF16, DType::kF64, DType::kI8});
  add(in({3, 150, 90}).transposed(), {DType::kF32, DType::kF16});
  add(in({300, 400}), {DType::kF32});
  add(in({100000}).gaps(), {DType::kF32});
  add(in({100000}), {DType::kI64});
  (void)s;
}

RUTILE_SAMPLES(bitcast) {
  using D = DType;
  const auto add = [&](const Input& x, D from, D to) { s.add({x.as(from)}, BitcastAttrs{to}); };
  for (const D t : {D::kI32, D::kU32, D::kF32}) add(in({3, 4}), D::kF32, t);
  for (const D t : {D::kU8, D::kBool, D::kI8, D::kI16, D::kU16, D::kF64, D::kI64, D::kC64}) {
    add(in({3, 4}), D::kF32, t);
  }
  for (const D t : {D::kBool, D::kU8, D::kI8, D::kBF16, D::kI64, D::kC128, D::kF16}) {
    add(in({2, 1}), t, t);
    add(in({2, 16}), t, D::kI16);
  }
  add(in({}), D::kF64, D::kI64);
  add(in({0, 4}), D::kF32, D::kI64);
  add(in({3, 0}), D::kF32, D::kU8);
  add(in({4, 6}).transposed(), D::kF32, D::kI16);
  add(in({4, 6}).gaps(), D::kF32, D::kI64);
  add(in({4, 6}).expanded(), D::kU8, D::kBool);
  add(in({300, 400}), D::kU8, D::kBool);
  s.error({in({})}, BitcastAttrs{D::kF64}, ErrorCode::kValue, "expects a type of 4 bytes");
  s.error({in({3, 3})}, BitcastAttrs{D::kF64}, ErrorCode::kValue, "multiple of 8");
}

RUTILE_SAMPLES(contiguous) {
  copies(s, [&](const Input& x, const DTypes& types) { s.add({x}).dtypes(types); });
  s.error({}, ErrorCode::kValue, "expects 1 inputs, got 0");
}

RUTILE_SAMPLES(reorder) {
  copies(s, [&](const Input& x, const DTypes& types) {
    s.add({x}, ReorderAttrs{}).dtypes(types);
    if (x.shape.rank() != 4) return;
    s.add({x}, ReorderAttrs{{kStrided, true}}).dtypes(types);
    for (const char* tag : {"aBcd16b", "aBcd8b", "ABcd16b16a", "acdb", "Acdb16a"}) {
      s.add({x}, ReorderAttrs{{intern_layout(tag), false}}).dtypes(types).name(tag);
    }
  });
  s.add({in({3, 0, 2, 2})}, ReorderAttrs{{intern_layout("aBcd16b"), false}}).name("empty");
  s.add({in({37, 5})}, ReorderAttrs{{intern_layout("AB16b16a"), false}});
  s.add({in({37, 20, 2, 3})}, ReorderAttrs{{intern_layout("ABcd8b16a2b"), false}, DType::kBF16})
      .name("to bf16")
      .tolerance(DType::kBF16, 1e-2);
  s.add({in({20, 37}).as(DType::kBF16)}, ReorderAttrs{{}, DType::kF32}).name("to f32");
  s.error({in({3, 4})}, ReorderAttrs{{}, DType::kI32}, ErrorCode::kType, "floating types");
  s.error({in({3, 4})}, ReorderAttrs{{kStrided, true}}, ErrorCode::kValue, "rank 4 or 5");
  s.error({in({3, 4})}, ReorderAttrs{{intern_layout("aBcd16b"), false}}, ErrorCode::kValue,
          "is for rank 4");
}

RUTILE_SAMPLES(concat) {
  s.add({in({2, 3}), in({4, 3}), in({1, 3})}, ConcatAttrs{0}).dtypes(kEveryType);
  s.add({in({2, 3}), in({2, 5})}, ConcatAttrs{-1});
  s.add({in({2, 3})}, ConcatAttrs{1}).name("one input");
  s.add({in({2, 0}), in({2, 3}), in({2, 0})}, ConcatAttrs{1}).name("empty parts");
  s.add({in({0, 3}), in({0, 3})}, ConcatAttrs{1});
  s.add({in({2, 6, 3, 3}).channels_last(), in({2, 37, 3, 3}).channels_last()}, ConcatAttrs{1});
  s.add({in({2, 6, 3, 3}), in({2, 1, 3, 3}).channels_last()}, ConcatAttrs{1}).name("mixed");
  s.add({in({4, 3}).transposed(), in({2, 3}).gaps()}, ConcatAttrs{0});
  s.add({in({2, 3}), in({2, 3}).as(DType::kBF16)}, ConcatAttrs{0}).name("promotes");
  s.add({in({2, 3}), in({2, 3}).as(DType::kI32).constant()}, ConcatAttrs{0});
  s.error({in({2, 3}), in({2, 4})}, ConcatAttrs{0}, ErrorCode::kValue, "does not join");
  s.error({in({2, 3}), in({2})}, ConcatAttrs{0}, ErrorCode::kValue, "does not join");
  s.error({in({}), in({})}, ConcatAttrs{0}, ErrorCode::kIndex, "0-d");
}

RUTILE_SAMPLES(pad) {
  s.add({in({2, 3})}, PadAttrs{{1, 0}, {2, 3}}).dtypes(kEveryType);
  s.add({in({2, 3})}, PadAttrs{{0, 1}, {0, 0}, PadMode::kConstant, -1.5});
  s.add({in({2, 3})}, PadAttrs{{0, 0}, {0, 0}}).name("no width");
  s.add({in({})}, PadAttrs{}).name("0-d");
  s.add({in({0, 2})}, PadAttrs{{1, 1}, {1, 0}, PadMode::kConstant, 3}).name("empty");
  s.add({in({4, 5})}, PadAttrs{{3, 0}, {2, 4}, PadMode::kReflect}).dtypes(kEveryType);
  s.add({in({4, 5})}, PadAttrs{{5, 0}, {1, 7}, PadMode::kReplicate}).dtypes(kFloats);
  s.add({in({4, 5})}, PadAttrs{{4, 1}, {0, 5}, PadMode::kCircular}).dtypes(kFloats);
  s.add({in({1, 3}).transposed()}, PadAttrs{{0, 2}, {0, 1}, PadMode::kReflect});
  for (const PadMode mode : {PadMode::kConstant, PadMode::kReflect, PadMode::kReplicate}) {
    s.add({in({2, 6, 4, 5}).channels_last()}, PadAttrs{{0, 0, 1, 2}, {0, 0, 1, 2}, mode});
    s.add({in({2, 37, 4, 5})}, PadAttrs{{0, 0, 1, 2}, {0, 1, 1, 2}, mode});
  }
  s.error({in({2, 3})}, PadAttrs{{1}, {1}}, ErrorCode::kValue, "need 2 entries");
  s.error({in({2})}, PadAttrs{{-1}, {0}}, ErrorCode::kValue, "must not be negative");
  s.error({in({2})}, PadAttrs{{2}, {0}, PadMode::kReflect}, ErrorCode::kValue, "at most 1");
  s.error({in({2})}, PadAttrs{{0}, {3}, PadMode::kCircular}, ErrorCode::kValue, "at most 2");
  s.error({in({0})}, PadAttrs{{1}, {0}, PadMode::kReplicate}, ErrorCode::kValue, "at most 0");
  s.error({in({2})}, PadAttrs{{kEnd}, {kEnd}}, ErrorCode::kValue, "2^48");
}

RUTILE_SAMPLES(pad_grad) {
  s.add({in({5, 6})}, PadAttrs{{1, 0}, {2, 3}}).dtypes(joined(kFloats, kComplexes));
  s.add({in({9, 9})}, PadAttrs{{3, 0}, {2, 4}, PadMode::kReflect})
      .dtypes(joined(kFloats, kComplexes));
  s.add({in({10, 12})}, PadAttrs{{5, 0}, {1, 7}, PadMode::kReplicate})
      .dtypes(joined(kFloats, kComplexes));
  s.add({in({8, 11})}, PadAttrs{{4, 1}, {0, 5}, PadMode::kCircular})
      .dtypes(joined(kFloats, kComplexes));
  s.add({in({0, 3})}, PadAttrs{{0, 1}, {0, 1}, PadMode::kReplicate}).name("empty");
  s.add({in({2, 6, 6, 9}).channels_last()},
        PadAttrs{{0, 0, 1, 2}, {0, 0, 1, 2}, PadMode::kReflect});
  s.error({in({5})}, PadAttrs{{4}, {2}, PadMode::kReflect}, ErrorCode::kValue, "has no padding");
  s.error({in({5})}, PadAttrs{{3}, {0}, PadMode::kReflect}, ErrorCode::kValue, "at most 1");
  s.error({in({5}).as(DType::kI32)}, PadAttrs{{1}, {1}}, ErrorCode::kType, "floating");
}

RUTILE_SAMPLES(flip) {
  s.add({in({4, 5})}, FlipAttrs{}).dtypes(kEveryType);
  s.add({in({4, 5})}, FlipAttrs{{-1}});
  s.add({in({})}, FlipAttrs{}).name("0-d");
  s.add({in({0, 2})}, FlipAttrs{{0}});
  s.add({in({2, 6, 3, 5}).channels_last()}, FlipAttrs{{3}});
  s.add({in({2, 37, 3, 5})}, FlipAttrs{{1, 2}});
  s.add({in({4, 5}).transposed()}, FlipAttrs{{0}});
  s.add({in({4, 5}).gaps()}, FlipAttrs{{1}});
  s.error({in({4})}, FlipAttrs{{1}}, ErrorCode::kIndex, "out of range");
  s.error({in({4, 4})}, FlipAttrs{{1, -1}}, ErrorCode::kValue, "twice");
}

template <class Attrs>
void triangles(SampleList& s) {
  for (const int64_t k : {int64_t{0}, int64_t{2}, int64_t{-1}, int64_t{100}, kMin, kEnd}) {
    s.add({in({4, 6})}, Attrs{k});
  }
  s.add({in({6, 4})}, Attrs{1}).dtypes(kEveryType);
  s.add({in({2, 3, 5, 5})}, Attrs{});
  s.add({in({0, 3})}, Attrs{});
  s.add({in({3, 0})}, Attrs{});
  s.add({in({5, 4}).transposed()}, Attrs{});
  s.error({in({4})}, Attrs{}, ErrorCode::kValue, "at least rank 2");
}
RUTILE_SAMPLES(tril) { triangles<TriangleAttrs>(s); }
RUTILE_SAMPLES(triu) { triangles<TriangleAttrs>(s); }

}  // namespace
}  // namespace rutile::samples

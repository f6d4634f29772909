// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/layer_norm.h"

#include <cmath>

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace ops;

const DTypes kFast{DType::kF32, DType::kBF16};
const DTypes kLow{DType::kBF16, DType::kF16};

struct Shapes {
  Shape x;
  int64_t axes;
};
const Shapes kShapes[] = {{{5, 7}, 1},     {{3, 4, 37}, 1}, {{2, 3, 5, 6}, 2}, {{6}, 1},
                          {{2, 1, 16}, 1}, {{4, 33}, 1},    {{0, 8}, 1},       {{300, 64}, 1},
                          {{70, 384}, 1},  {{3, 2, 4}, 3}};

Shape tail(const Shape& s, int64_t axes) {
  Shape t;
  for (int i = s.rank() - static_cast<int>(axes); i < s.rank(); ++i) t.push_back(s[i]);
  return t;
}
Shape head(const Shape& s, int64_t axes) {
  Shape t;
  for (int i = 0; i < s.rank() - static_cast<int>(axes); ++i) t.push_back(s[i]);
  return t;
}
// Derivatives of the same arithmetic are checked on the smaller shapes.
void add(SampleList& s, std::vector<Input> inputs, const LayerNormAttrs& a, const DTypes& types,
         const char* name = "", const char* no_gradient = "") {
  const bool large = inputs[0].shape.numel() > 500;
  s.add(std::move(inputs), a)
      .name(name)
      .dtypes(types)
      .tolerance(DType::kF32, 1e-4)
      .no_gradient(large ? "checked on smaller shapes" : no_gradient);
}
Input f32(const Shape& s) { return in(s).as(DType::kF32); }

RUTILE_SAMPLES(layer_norm) {
  for (const Shapes& k : kShapes) {
    const LayerNormAttrs a{k.axes};
    const Shape row = tail(k.x, k.axes);
    add(s, {in(k.x), in(row), in(row)}, a, kFloats);
    add(s, {in(k.x)}, a, kFast, "bare");
    add(s, {in(k.x), f32(row), f32(row)}, a, kLow, "f32 scale");
  }
  s.add({in({5, 7}), none(), in({7})}, LayerNormAttrs{}).name("bias only");
  s.add({in({5, 7}), in({7}), none()}, LayerNormAttrs{1, 0.1}).name("weight only");
  s.add({in({5, 8}).transposed(), in({8}).gaps(), in({8})}, LayerNormAttrs{});
  s.add({in({4, 64}).uniform(1000, 1001), in({64}), in({64})}, LayerNormAttrs{})
      .name("large mean")
      .tolerance(DType::kF32, 2e-3)
      .no_gradient("cancellation leaves too few digits for differences");
  s.error({in({5, 7}), in({5})}, LayerNormAttrs{}, ErrorCode::kValue, "weight expects shape [7]");
  s.error({in({5, 7}), in({7}), in({8})}, LayerNormAttrs{}, ErrorCode::kValue, "bias expects");
  s.error({in({5, 7})}, LayerNormAttrs{3}, ErrorCode::kValue, "axes expects 1 to 2");
  s.error({in({5, 7})}, LayerNormAttrs{0}, ErrorCode::kValue, "axes expects 1 to 2");
  s.error({in({5, 7})}, LayerNormAttrs{1, std::nan("")}, ErrorCode::kValue, "eps");
  s.error({in({5, 7}).as(DType::kI32)}, LayerNormAttrs{}, ErrorCode::kType, "floating");
  s.error({in({5, 7}), in({7}).as(DType::kF64)}, LayerNormAttrs{}, ErrorCode::kType,
          "weight expects f32");
}

RUTILE_SAMPLES(layer_norm_grad) {
  for (const Shapes& k : kShapes) {
    const LayerNormAttrs a{k.axes};
    const Shape row = tail(k.x, k.axes), rows = head(k.x, k.axes);
    const Input mean = in(rows), rstd = in(rows).positive();
    add(s, {in(k.x), in(k.x), mean, rstd, in(row)}, a, {DType::kF32, DType::kF64});
    add(s, {in(k.x), in(k.x), mean, rstd}, a, {DType::kF32}, "bare");
    const DType t = DType::kF32;
    for (const Input& w : {f32(row), in(row)}) {
      add(s, {in(k.x), in(k.x), mean.as(t), rstd.as(t), w}, a, kLow, "", "of mixed types");
    }
  }
  s.add({in({5, 8}).transposed(), in({5, 8}).gaps(), in({5}), in({5}).positive(), in({8})},
        LayerNormAttrs{});
  s.error({in({5, 7}), in({5, 8}), in({5}), in({5})}, LayerNormAttrs{}, ErrorCode::kValue,
          "grad and x");
  s.error({in({5, 7}), in({5, 7}), in({5}), in({7})}, LayerNormAttrs{}, ErrorCode::kValue,
          "rstd expects");
}

RUTILE_SAMPLES(rms_norm) {
  for (const Shapes& k : kShapes) {
    const LayerNormAttrs a{k.axes};
    const Shape row = tail(k.x, k.axes);
    add(s, {in(k.x), in(row)}, a, kFloats);
    add(s, {in(k.x)}, a, kFast, "bare");
    add(s, {in(k.x), f32(row)}, a, kLow, "f32 scale");
  }
  s.add({in({5, 8}).transposed(), in({8})}, LayerNormAttrs{});
  s.error({in({5, 7}), in({5})}, LayerNormAttrs{}, ErrorCode::kValue, "weight expects shape [7]");
  s.error({in({5, 7})}, LayerNormAttrs{3}, ErrorCode::kValue, "axes expects 1 to 2");
}

RUTILE_SAMPLES(rms_norm_grad) {
  for (const Shapes& k : kShapes) {
    const LayerNormAttrs a{k.axes};
    const Shape row = tail(k.x, k.axes), rows = head(k.x, k.axes);
    const Input rstd = in(rows).positive();
    add(s, {in(k.x), in(k.x), rstd, in(row)}, a, {DType::kF32, DType::kF64});
    add(s, {in(k.x), in(k.x), rstd}, a, {DType::kF32}, "bare");
    add(s, {in(k.x), in(k.x), rstd.as(DType::kF32), f32(row)}, a, kLow, "", "of mixed types");
  }
  s.error({in({5, 7}), in({5, 7}), in({7})}, LayerNormAttrs{}, ErrorCode::kValue, "rstd expects");
}

}  // namespace
}  // namespace rutile::samples

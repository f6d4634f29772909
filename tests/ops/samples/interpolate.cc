// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/interpolate.h"

#include "rutile/ops/image_meta.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;
using Mode = InterpolateMode;

constexpr const char* kLinear = "is linear in its input";

struct Case {
  Shape x;
  InterpolateAttrs attrs;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {{2, 3, 5}, {.scale_factor = 2}},
      {{2, 3, 4, 5}, {.size = {7, 3}}},
      {{1, 37, 3, 2, 4}, {.scale_factor = 1.5}},
      {{2, 3, 7}, {.size = {3}, .mode = Mode::kNearestExact}},
      {{2, 6, 4, 5}, {.scale_factor = 2.3, .mode = Mode::kNearestExact}},
      {{2, 3, 5}, {.size = {9}, .mode = Mode::kLinear}},
      {{2, 3, 5}, {.size = {4}, .mode = Mode::kLinear, .align_corners = true}},
      {{2, 3, 1}, {.size = {4}, .mode = Mode::kLinear, .align_corners = true}},
      {{2, 6, 5, 4}, {.scale_factor = 2, .mode = Mode::kBilinear}},
      {{1, 37, 6, 5}, {.size = {3, 7}, .mode = Mode::kBilinear}},
      {{1, 1, 5, 6}, {.size = {8, 1}, .mode = Mode::kBilinear, .align_corners = true}},
      {{2, 2, 5, 4}, {.scale_factor = 1.7, .mode = Mode::kBilinear}},
      {{2, 2, 5, 4},
       {.scale_factor = 1.7, .mode = Mode::kBilinear, .recompute_scale_factor = true}},
      {{2, 2, 9, 10}, {.size = {4, 3}, .mode = Mode::kBilinear, .antialias = true}},
      {{2, 3, 5, 4}, {.scale_factor = 2, .mode = Mode::kBicubic}},
      {{1, 6, 6, 7}, {.size = {4, 9}, .mode = Mode::kBicubic, .align_corners = true}},
      {{1, 2, 9, 10}, {.size = {4, 12}, .mode = Mode::kBicubic, .antialias = true}},
      {{1, 3, 3, 4, 2}, {.scale_factor = 2, .mode = Mode::kTrilinear}},
      {{2, 6, 3, 2, 4}, {.size = {4, 2, 3}, .mode = Mode::kTrilinear, .align_corners = true}},
      {{2, 3, 7}, {.size = {4}, .mode = Mode::kArea}},
      {{2, 6, 7, 5}, {.size = {3, 8}, .mode = Mode::kArea}},
      {{1, 3, 4, 5, 6}, {.size = {2}, .mode = Mode::kArea}},
      {{1, 3, 4, 5}, {.size = {4, 5}, .mode = Mode::kBilinear}},
      {{0, 3, 4, 5}, {.scale_factor = 2}},
      {{2, 0, 4, 5}, {.scale_factor = 2, .mode = Mode::kBilinear}},
  };
  return list;
}

InterpolateGradAttrs grad_attrs(const Shape& x, const InterpolateAttrs& a) {
  Dims size;
  for (int i = 2; i < x.rank(); ++i) size.push_back(x[i]);
  return {size,       a.size, a.scale_factor, a.mode, a.align_corners, a.recompute_scale_factor,
          a.antialias};
}

Shape result_shape(const Case& c) {
  const TensorMeta x(c.x, DType::kF32);
  const TensorMeta* const in[] = {&x};
  TensorMeta y;
  throw_if_error(kInterpolate.infer(CallMeta{&kInterpolate, &c.attrs, in, {}}, &y));
  return y.shape;
}

}  // namespace

RUTILE_SAMPLES(interpolate) {
  for (const Case& c : cases()) {
    s.add({in(c.x)}, c.attrs).dtypes(kFloats).no_second_order(kLinear);
  }
  const InterpolateAttrs twice{.scale_factor = 2, .mode = Mode::kBilinear};
  for (const int64_t channels : {1, 6, 37}) {
    s.add({in({2, channels, 5, 4}).channels_last()}, twice)
        .dtypes(kFloats)
        .no_second_order(kLinear);
  }
  s.add({in({1, 6, 3, 4, 5}).channels_last()},
        InterpolateAttrs{.size = {5, 2, 7}, .mode = Mode::kTrilinear})
      .dtypes(kFloats)
      .no_second_order(kLinear);
  for (const View v : {View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 5, 4}).viewed(v)}, twice).no_second_order(kLinear);
  }
  s.add({in({2, 16, 40, 33})}, twice).name("long").dtypes(kFloats).no_gradient("a long run");
  s.add({in({2, 16, 40, 33}).channels_last()}, twice).name("long").no_gradient("a long run");
  const auto bad = [&](const Shape& x, const InterpolateAttrs& a, const char* message) {
    s.error({in(x)}, a, ErrorCode::kValue, message);
  };
  bad({4, 4}, {.scale_factor = 2}, "rank 3 to 5");
  bad({1, 1, 4}, {.scale_factor = 2, .mode = Mode::kBilinear}, "takes x of rank 4");
  bad({1, 1, 4, 4}, {}, "one of size and scale_factor");
  bad({1, 1, 4, 4}, {.size = {4}, .scale_factor = 2}, "one of size and scale_factor");
  bad({1, 1, 4, 4}, {.size = {4, 4, 4}}, "size expects 1 or 2 entries");
  bad({1, 1, 4, 4}, {.size = {0, 4}}, "size must have positive sizes");
  bad({1, 1, 4, 4}, {.scale_factor = 0.1}, "makes 0 pixels");
  bad({1, 1, 4, 4}, {.scale_factor = -2}, "makes -8 pixels");
  bad({1, 1, 4, 4}, {.scale_factor = 2, .align_corners = true}, "align_corners has no meaning");
  bad({1, 1, 4, 4}, {.scale_factor = 2, .antialias = true}, "antialias is for modes");
  bad({1, 1, 0, 4}, {.scale_factor = 2}, "positive sizes");
  s.error({in({1, 1, 4, 4}).as(DType::kI32)}, InterpolateAttrs{.scale_factor = 2}, ErrorCode::kType,
          "floating point");
}

RUTILE_SAMPLES(interpolate_grad) {
  for (const Case& c : cases()) {
    s.add({in(result_shape(c))}, grad_attrs(c.x, c.attrs)).dtypes(kFloats).no_second_order(kLinear);
  }
  const InterpolateAttrs twice{.scale_factor = 2, .mode = Mode::kBilinear};
  s.add({in({2, 6, 10, 8}).channels_last()}, grad_attrs({2, 6, 5, 4}, twice))
      .dtypes(kFloats)
      .no_second_order(kLinear);
  s.error({in({2, 6, 10, 9})}, grad_attrs({2, 6, 5, 4}, twice), ErrorCode::kValue,
          "dy expects shape [2,6,10,8]");
  InterpolateGradAttrs odd = grad_attrs({2, 6, 5, 4}, twice);
  odd.input_size = {5};
  s.error({in({2, 6, 10, 8})}, odd, ErrorCode::kValue, "input_size expects 2 entries");
}

}  // namespace rutile::samples

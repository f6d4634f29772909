// SPDX-License-Identifier: Apache-2.0
#include "rutile/ops/grid_sample.h"

#include "rutile/tests/ops/samples/sample.h"

namespace rutile::samples {
namespace {

using namespace rutile::ops;

const char* const kKinks = "the grid's second derivatives do not exist everywhere";

// Every mode with every padding.
std::vector<GridSampleAttrs> attrs_for(int spatial) {
  std::vector<GridSampleAttrs> list;
  for (const auto mode :
       {GridSampleMode::kBilinear, GridSampleMode::kNearest, GridSampleMode::kBicubic}) {
    if (mode == GridSampleMode::kBicubic && spatial == 3) continue;
    for (const auto padding :
         {GridPadding::kZeros, GridPadding::kBorder, GridPadding::kReflection}) {
      for (const bool align : {false, true}) list.push_back({mode, padding, align});
    }
  }
  return list;
}

Input grid_in(const Shape& shape) { return in(shape).distinct(-1.43, 1.39); }

struct Case {
  Shape x, grid;
};
const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {{2, 3, 4, 5}, {2, 3, 2, 2}}, {{1, 37, 3, 3}, {1, 2, 2, 2}},
      {{1, 1, 1, 1}, {1, 2, 3, 2}}, {{2, 2, 3, 2, 4}, {2, 2, 1, 2, 3}},
      {{0, 3, 4, 5}, {0, 3, 2, 2}}, {{2, 3, 4, 5}, {2, 0, 2, 2}},
      {{2, 0, 4, 5}, {2, 3, 2, 2}},
  };
  return list;
}

Shape made_shape(const Case& c) {
  Shape y{c.x[0], c.x[1]};
  for (int i = 1; i + 1 < c.grid.rank(); ++i) y.push_back(c.grid[i]);
  return y;
}
Dims input_size(const Case& c) {
  Dims size;
  for (int i = 2; i < c.x.rank(); ++i) size.push_back(c.x[i]);
  return size;
}

}  // namespace

RUTILE_SAMPLES(grid_sample) {
  for (const Case& c : cases()) {
    for (const GridSampleAttrs& a : attrs_for(c.x.rank() - 2)) {
      s.add({in(c.x), grid_in(c.grid)}, a).dtypes(kFloats).no_second_order(kKinks);
    }
  }
  for (const View v : {View::kChannelsLast, View::kTransposed, View::kGaps, View::kExpanded}) {
    s.add({in({2, 6, 4, 5}).viewed(v), grid_in({2, 3, 2, 2}).viewed(v)})
        .dtypes(kFloats)
        .no_second_order(kKinks);
  }
  s.add({in({1, 3, 4, 4}), in({1, 2, 3, 2}).filled(specials())})
      .name("special numbers")
      .dtypes({DType::kF32, DType::kF64})
      .no_gradient("infinities and NaN have no difference quotient");
  s.error({in({3, 4, 4}), in({3, 4, 2})}, ErrorCode::kValue, "[n,c,h,w] or [n,c,d,h,w]");
  s.error({in({1, 3, 4, 4}), in({1, 4, 4, 3})}, ErrorCode::kValue, "shape [n,h,w,2]");
  s.error({in({1, 3, 4, 4}), in({2, 4, 4, 2})}, ErrorCode::kValue, "grid expects 1 images, got 2");
  s.error({in({1, 3, 0, 4}), in({1, 4, 4, 2})}, ErrorCode::kValue, "positive sizes");
  s.error({in({1, 3, 4, 4, 4}), in({1, 4, 4, 4, 3})}, GridSampleAttrs{GridSampleMode::kBicubic},
          ErrorCode::kValue, "bicubic takes x of rank 4");
  s.error({in({1, 3, 4, 4}).as(DType::kI32), in({1, 4, 4, 2}).as(DType::kI32)}, ErrorCode::kType,
          "floating point");
}

RUTILE_SAMPLES(grid_sample_input_grad) {
  for (const Case& c : cases()) {
    for (const GridSampleAttrs& a : attrs_for(c.x.rank() - 2)) {
      s.add({in(made_shape(c)), grid_in(c.grid)},
            GridSampleInputGradAttrs{input_size(c), a.mode, a.padding_mode, a.align_corners})
          .dtypes(kFloats)
          .no_second_order(kKinks);
    }
  }
  const GridSampleInputGradAttrs plain{{4, 5}};
  s.add({in({2, 6, 3, 2}).channels_last(), grid_in({2, 3, 2, 2})}, plain)
      .dtypes(kFloats)
      .no_second_order(kKinks);
  s.error({in({2, 6, 3, 2}), in({2, 3, 3, 2})}, plain, ErrorCode::kValue, "do not fit together");
  s.error({in({2, 6, 3, 2}), in({2, 3, 2, 2})}, GridSampleInputGradAttrs{{4}}, ErrorCode::kValue,
          "input_size expects 2 entries");
}

RUTILE_SAMPLES(grid_sample_grid_grad) {
  for (const Case& c : cases()) {
    for (const GridSampleAttrs& a : attrs_for(c.x.rank() - 2)) {
      s.add({in(made_shape(c)), in(c.x), grid_in(c.grid)}, a)
          .dtypes(kFloats)
          .tolerance(DType::kF32, 1e-4);
    }
  }
  s.add({in({2, 6, 3, 2}).channels_last(), in({2, 6, 4, 5}).gaps(), grid_in({2, 3, 2, 2}).gaps()})
      .dtypes(kFloats);
  s.error({in({2, 6, 3, 3}), in({2, 6, 4, 5}), in({2, 3, 2, 2})}, ErrorCode::kValue,
          "dy expects shape [2,6,3,2]");
}

RUTILE_SAMPLES(affine_grid) {
  for (const bool align : {false, true}) {
    s.add({in({2, 2, 3})}, AffineGridAttrs{{2, 5, 3, 4}, align}).dtypes(kFloats);
    s.add({in({1, 3, 4})}, AffineGridAttrs{{1, 5, 2, 1, 3}, align}).dtypes(kFloats);
  }
  s.add({in({0, 2, 3})}, AffineGridAttrs{{0, 5, 3, 4}});
  s.add({in({2, 2, 3}).gaps()}, AffineGridAttrs{{2, 5, 3, 4}});
  s.error({in({2, 2, 3})}, AffineGridAttrs{{2, 5, 3}}, ErrorCode::kValue, "size expects [n,c,h,w]");
  s.error({in({2, 3, 3})}, AffineGridAttrs{{2, 5, 3, 4}}, ErrorCode::kValue,
          "theta expects shape [2,2,3]");
  s.error({in({2, 2, 3})}, AffineGridAttrs{{2, 5, 0, 4}}, ErrorCode::kValue, "positive sizes");
  s.error({in({2, 2, 3}).as(DType::kI32)}, AffineGridAttrs{{2, 5, 3, 4}}, ErrorCode::kType,
          "floating point");
}

}  // namespace rutile::samples

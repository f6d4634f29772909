// SPDX-License-Identifier: Apache-2.0
// Images read at any positions (Jaderberg et al., "Spatial transformer networks", 2015).
//
//   Tensor grid = ops::affine_grid(theta, {.size = {8, 3, 64, 64}});   // theta f32[8,2,3]
//   Tensor y = ops::grid_sample(x, grid);   // x f32[8,3,32,32] -> f32[8,3,64,64]
#pragma once

#include "rutile/ops/call.h"

namespace rutile {

enum class GridSampleMode : uint8_t { kBilinear, kNearest, kBicubic };
template <>
struct EnumNames<GridSampleMode> {
  static constexpr const char* value[] = {"bilinear", "nearest", "bicubic"};
};
// What lies outside an image: zeros, its border, or its reflection.
enum class GridPadding : uint8_t { kZeros, kBorder, kReflection };
template <>
struct EnumNames<GridPadding> {
  static constexpr const char* value[] = {"zeros", "border", "reflection"};
};

}  // namespace rutile

namespace rutile::ops {

struct GridSampleAttrs {
  GridSampleMode mode = GridSampleMode::kBilinear;
  GridPadding padding_mode = GridPadding::kZeros;
  // -1 and 1 are the middles of the corner pixels; else the edges of the image.
  bool align_corners = false;
  RUTILE_REFLECT(mode, padding_mode, align_corners)
};
// x [n, c, h, w], grid [n, oh, ow, 2] of positions (column, row) -> [n, c, oh, ow]; or x [n, c, d,
// h, w], grid [n, od, oh, ow, 3] of (column, row, depth) -> [n, c, od, oh, ow], where bilinear
// means trilinear and bicubic does not exist. Floating dtypes, promoted to a common one. A position
// with a NaN reads NaN and gives no gradient to x. Errors: kValue for shapes that do not fit and
// images without pixels.
extern RUTILE_API const OpDef kGridSample;
RUTILE_API Tensor grid_sample(Arg x, Arg grid, GridSampleAttrs attrs = {});

struct GridSampleInputGradAttrs {
  Dims input_size;  // spatial, of x
  GridSampleMode mode = GridSampleMode::kBilinear;
  GridPadding padding_mode = GridPadding::kZeros;
  bool align_corners = false;
  RUTILE_REFLECT(input_size, mode, padding_mode, align_corners)
};
// Gradient by x: dy spread over the pixels that were read.
extern RUTILE_API const OpDef kGridSampleInputGrad;
RUTILE_API Tensor grid_sample_input_grad(Arg dy, Arg grid, GridSampleInputGradAttrs attrs);
// Gradient by the grid, from dy, x and grid.
extern RUTILE_API const OpDef kGridSampleGridGrad;
RUTILE_API Tensor grid_sample_grid_grad(Arg dy, Arg x, Arg grid, GridSampleAttrs attrs);

struct AffineGridAttrs {
  Dims size;  // of the images that the grid is to read: [n, c, h, w] or [n, c, d, h, w]
  bool align_corners = false;
  RUTILE_REFLECT(size, align_corners)
};
// The grid that maps the pixels of a result by theta [n, 2, 3] or [n, 3, 4]: [n, h, w, 2] or
// [n, d, h, w, 3]. Floating dtypes.
extern RUTILE_API const OpDef kAffineGrid;
RUTILE_API Tensor affine_grid(Arg theta, AffineGridAttrs attrs);

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
// Images of another size: x [n, c, l], [n, c, h, w] or [n, c, d, h, w].
//
//   Tensor y = ops::interpolate(x, {.scale_factor = 2, .mode = InterpolateMode::kBilinear});
//   // x f32[8,3,32,32] -> f32[8,3,64,64]
//   Tensor z = ops::interpolate(x, {.size = {224, 224}, .mode = InterpolateMode::kBicubic,
//                                   .antialias = true});
#pragma once

#include "rutile/ops/call.h"

namespace rutile {

enum class InterpolateMode : uint8_t {
  kNearest,
  kNearestExact,
  kLinear,
  kBilinear,
  kBicubic,
  kTrilinear,
  kArea
};
template <>
struct EnumNames<InterpolateMode> {
  static constexpr const char* value[] = {"nearest", "nearest-exact", "linear", "bilinear",
                                          "bicubic", "trilinear",     "area"};
};

}  // namespace rutile

namespace rutile::ops {

// Pixel o of the result, of `out` along a dimension, is taken around pixel s of `in`:
// - nearest: floor(o in / out), as old OpenCV; nearest-exact: the pixel whose middle is nearest
// - linear (rank 3), bilinear (4), trilinear (5): between the two neighbours of
//   s = (o + 0.5) in / out - 0.5, or o (in - 1) / (out - 1) with align_corners; a dimension that
//   keeps its size is copied
// - bicubic (4): four neighbours, Keys' kernel with a = -0.75 (-0.5 with antialias)
// - area: mean of the pixels that o covers (adaptive_avg_pool)
struct InterpolateAttrs {
  Dims size = {};           // of the result: one number for all dimensions, or one each
  double scale_factor = 0;  // instead of size: floor(in * scale_factor), the same for all
  InterpolateMode mode = InterpolateMode::kNearest;
  bool align_corners = false;
  // The positions follow from the sizes alone, not from scale_factor.
  bool recompute_scale_factor = false;
  bool antialias = false;  // bilinear, bicubic: smaller images average over all that they cover
  RUTILE_REFLECT(size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)
};
// Floating dtypes. Channels-last stays so. Errors: kValue for a rank that the mode does not take,
// both or none of size and scale_factor, an image without pixels, align_corners or antialias with a
// mode that has no such thing.
extern RUTILE_API const OpDef kInterpolate;
RUTILE_API Tensor interpolate(Arg x, InterpolateAttrs attrs);

struct InterpolateGradAttrs {
  Dims input_size = {};  // of x
  Dims size = {};
  double scale_factor = 0;
  InterpolateMode mode = InterpolateMode::kNearest;
  bool align_corners = false;
  bool recompute_scale_factor = false;
  bool antialias = false;
  RUTILE_REFLECT(input_size, size, scale_factor, mode, align_corners, recompute_scale_factor,
                 antialias)
};
// dy, of the size that such an image is interpolated to -> dx of `input_size`.
extern RUTILE_API const OpDef kInterpolateGrad;
RUTILE_API Tensor interpolate_grad(Arg dy, InterpolateGradAttrs attrs);

}  // namespace rutile::ops

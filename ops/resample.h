// SPDX-License-Identifier: Apache-2.0
// Images scaled and moved by numbers that are tensors, and windows cut out of images.
//
//   Tensor y = ops::scale_and_translate(x, scale, translation, {.size = {24, 32}});
//   // x f32[8,3,32,32], scale f32[2], translation f32[2] -> f32[8,3,24,32]
//   Tensor z = ops::extract_glimpse(x, offsets, {.size = {8, 8}});
//   // offsets f32[8,2] -> f32[8,3,8,8]
#pragma once

#include "rutile/ops/call.h"

namespace rutile {

enum class ResampleKernel : uint8_t {
  kLanczos1,
  kLanczos3,
  kLanczos5,
  kGaussian,
  kBox,
  kTriangle,
  kKeysCubic,
  kMitchellCubic
};
template <>
struct EnumNames<ResampleKernel> {
  static constexpr const char* value[] = {"lanczos1", "lanczos3", "lanczos5",  "gaussian",
                                          "box",      "triangle", "keyscubic", "mitchellcubic"};
};

}  // namespace rutile

namespace rutile::ops {

// Row p of an image lies at row scale[0] p + translation[0] of the result, columns alike; positions
// count from the edge, so that the first pixel's middle is 0.5. Each pixel of the result is the
// weighted mean of those around it by the kernel, which is as many times wider as the image gets
// smaller with antialias; zero where it lies outside of the image.
struct ScaleAndTranslateAttrs {
  Dims size;  // of the result: rows, columns
  ResampleKernel kernel = ResampleKernel::kLanczos3;
  bool antialias = true;
  RUTILE_REFLECT(size, kernel, antialias)
};
// x [n, c, h, w], scale [2] (positive) and translation [2] -> [n, c, size...]. Floating dtypes.
extern RUTILE_API const OpDef kScaleAndTranslate;
RUTILE_API Tensor scale_and_translate(Arg x, Arg scale, Arg translation,
                                      ScaleAndTranslateAttrs attrs);

struct ScaleAndTranslateGradAttrs {
  Dims input_size;  // of x: rows, columns
  ResampleKernel kernel = ResampleKernel::kLanczos3;
  bool antialias = true;
  RUTILE_REFLECT(input_size, kernel, antialias)
};
// Gradient by x: dy spread over the pixels that its own were made of.
extern RUTILE_API const OpDef kScaleAndTranslateGrad;
RUTILE_API Tensor scale_and_translate_grad(Arg dy, Arg scale, Arg translation,
                                           ScaleAndTranslateGradAttrs attrs);

struct ExtractGlimpseAttrs {
  Dims size;             // of a window: rows, columns
  bool centered = true;  // offsets count from the image's middle, else from its upper left corner
  // Offsets are in sizes of the image (centered: of its half), else in pixels (centered: halves).
  bool normalized = true;
  RUTILE_REFLECT(size, centered, normalized)
};
// The window of each image around offsets [n, 2] (row, column): x [n, c, h, w] -> [n, c, size...].
// What lies outside of the image is that of fill, of the result's shape, or zero. Windows begin at
// whole pixels.
extern RUTILE_API const OpDef kExtractGlimpse;
RUTILE_API Tensor extract_glimpse(Arg x, Arg offsets, ExtractGlimpseAttrs attrs,
                                  const Tensor& fill = {});

}  // namespace rutile::ops

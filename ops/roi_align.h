// SPDX-License-Identifier: Apache-2.0
// Pictures of regions (He et al., "Mask R-CNN", 2017).
//
//   Tensor y = ops::roi_align(x, boxes, images, {.output_size = 7, .scale = 1.0 / 16});
//   // x f32[2,256,50,80], boxes f32[100,4], images i64[100] -> f32[100,256,7,7]
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct RoiAlignAttrs {
  Int2 output_size{1};
  double scale = 1;            // from the boxes' pixels to those of x
  int64_t sampling_ratio = 0;  // samples of a bin along each side; 0: a bin's size, rounded up
  bool aligned =
      true;  // pixels are named by their middles; without: by corners, boxes of size >= 1
  RUTILE_REFLECT(output_size, scale, sampling_ratio, aligned)
};
// Each box (x0, y0, x1, y1) is cut into output_size bins; a bin is the mean of samples between four
// pixels. Outside of [-1, h] x [-1, w] samples are 0. x [n, c, h, w], boxes [k, 4] and images [k]
// (i32 or i64, which image a box is of) -> [k, c, output_size]. Floats, boxes f32 or f64; no
// gradient by the boxes. An image out of range is kIndex, found when the op runs.
extern RUTILE_API const OpDef kRoiAlign;
RUTILE_API Tensor roi_align(Arg x, Arg boxes, Arg images, RoiAlignAttrs attrs);

struct RoiAlignGradAttrs {
  Dims input_size = {};  // of x
  double scale = 1;
  int64_t sampling_ratio = 0;
  bool aligned = true;
  RUTILE_REFLECT(input_size, scale, sampling_ratio, aligned)
};
extern RUTILE_API const OpDef kRoiAlignGrad;

}  // namespace rutile::ops

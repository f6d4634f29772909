// SPDX-License-Identifier: Apache-2.0
// Windows of an image as columns (im2col), and columns added back into an image (col2im).
//
//   Tensor columns = ops::unfold(x, {.kernel = 3, .pad = 1});
//   // x f32[8,16,32,32] -> f32[8,144,1024]
//   Tensor sums = ops::fold(columns, {.output_size = {32, 32}, .kernel = 3, .pad = 1});
//   // -> f32[8,16,32,32], each pixel as often as windows cover it
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct UnfoldAttrs {
  Int2 kernel{1};
  Int2 dilation{1};
  Int2 pad{0};  // zeros on both sides
  Int2 stride{1};
  RUTILE_REFLECT(kernel, dilation, pad, stride)
};
// x [n, c, h, w] or [c, h, w] -> [n, c kh kw, windows] or [c kh kw, windows]; windows row-major.
// Floating dtypes. kValue for windows larger than the padded image.
extern RUTILE_API const OpDef kUnfold;
RUTILE_API Tensor unfold(Arg x, UnfoldAttrs attrs);

struct FoldAttrs {
  Int2 output_size{1};
  Int2 kernel{1};
  Int2 dilation{1};
  Int2 pad{0};
  Int2 stride{1};
  RUTILE_REFLECT(output_size, kernel, dilation, pad, stride)
};
// The gradient of unfold: x [n, c kh kw, windows] or [c kh kw, windows] -> [n, c, h, w] or
// [c, h, w] of `output_size`.
extern RUTILE_API const OpDef kFold;
RUTILE_API Tensor fold(Arg x, FoldAttrs attrs);

}  // namespace rutile::ops

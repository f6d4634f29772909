// SPDX-License-Identifier: Apache-2.0
// Max pooling over windows whose places are drawn (Graham, "Fractional max-pooling", 2014).
//
//   Tensor u = ops::random_uniform({.shape = {8, 3, 2}});     // one row for each image and channel
//   auto [y, indices] = ops::fractional_max_pool2d(x, u, {.kernel = 2, .output_size = {5, 6}});
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct FractionalPool2dAttrs {
  Int2 kernel{2}, output_size{1};
  RUTILE_REFLECT(kernel, output_size)
};
struct FractionalPool3dAttrs {
  Int3 kernel{2}, output_size{1};
  RUTILE_REFLECT(kernel, output_size)
};
struct FractionalPool {
  Tensor y;        // as x
  Tensor indices;  // i64, the maximum's position in the image, row-major
};
// x floats [.., h, w] ([.., d, h, w]) of rank 3 or 4 (4 or 5); samples in [0, 1), x's leading
// dimensions and then 2 for width and height (3 for depth, height and width). With k windows of
// size s over n pixels, a = (n - s) / (k - 1) and u the sample, window i starts at
// floor((i + u) a) - floor(u a), the last one at n - s. Errors: kValue for shapes, kType for
// dtypes.
extern RUTILE_API const OpDef kFractionalMaxPool2d, kFractionalMaxPool3d;
RUTILE_API FractionalPool fractional_max_pool2d(Arg x, Arg samples, FractionalPool2dAttrs attrs);
RUTILE_API FractionalPool fractional_max_pool3d(Arg x, Arg samples, FractionalPool3dAttrs attrs);

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
// Pooling over windows chosen so that the result has the given size: pixel o of `out` covers pixels
// floor(o in / out) to ceil((o + 1) in / out) - 1, in each of the last one to three dimensions
// (adaptive_avg_pool2d stands in pool.h). x [n, c, ...] or [c, ...].
//
//   Tensor y = ops::adaptive_max_pool2d(x, 7);   // x [8,64,30,40] -> [8,64,7,7]
//
// kValue for another rank, an image without pixels or an output_size below 1.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct AdaptivePool1dAttrs {
  int64_t output_size = 1;
  RUTILE_REFLECT(output_size)
};
struct AdaptivePool2dAttrs {
  Int2 output_size{1};
  RUTILE_REFLECT(output_size)
};
struct AdaptivePool3dAttrs {
  Int3 output_size{1};
  RUTILE_REFLECT(output_size)
};

// Means. Floating dtypes.
extern RUTILE_API const OpDef kAdaptiveAvgPool1d, kAdaptiveAvgPool3d;
RUTILE_API Tensor adaptive_avg_pool1d(Arg x, int64_t output_size);
RUTILE_API Tensor adaptive_avg_pool3d(Arg x, Int3 output_size);

struct AdaptiveMaxPoolResult {
  Tensor y;        // as x
  Tensor indices;  // i32, the maximum's position in the image, row-major
};
// Maxima, of any real dtype but bool; NaN and ties as in max_pool2d.
extern RUTILE_API const OpDef kAdaptiveMaxPool1d, kAdaptiveMaxPool2d, kAdaptiveMaxPool3d;
RUTILE_API Tensor adaptive_max_pool1d(Arg x, int64_t output_size);
RUTILE_API Tensor adaptive_max_pool2d(Arg x, Int2 output_size);
RUTILE_API Tensor adaptive_max_pool3d(Arg x, Int3 output_size);
RUTILE_API AdaptiveMaxPoolResult adaptive_max_pool1d_with_indices(Arg x, int64_t output_size);
RUTILE_API AdaptiveMaxPoolResult adaptive_max_pool2d_with_indices(Arg x, Int2 output_size);
RUTILE_API AdaptiveMaxPoolResult adaptive_max_pool3d_with_indices(Arg x, Int3 output_size);

}  // namespace rutile::ops

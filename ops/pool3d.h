// SPDX-License-Identifier: Apache-2.0
// Pooling over the last three dimensions: x [n, c, d, h, w] or [c, d, h, w]. Sizes, ceil_mode and
// errors are those of pool.h.
//
//   Tensor y = ops::max_pool3d(x, {.kernel = {1, 2, 2}});
//   // x [8,64,16,56,56] -> [8,64,16,28,28]
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct MaxPool3dAttrs {
  Int3 kernel{1};
  Int3 stride{0};  // 0: the kernel's size
  Int3 pad{0};     // on both sides, as if by the smallest value
  Int3 dilation{1};
  bool ceil_mode = false;
  RUTILE_REFLECT(kernel, stride, pad, dilation, ceil_mode)
};
struct MaxPool3dResult {
  Tensor y;        // as x
  Tensor indices;  // i32, the maximum's position (depth * h + row) * w + column; -1 for a window
                   // without pixels
};
// Any real dtype but bool. The first of equal maxima counts; NaN is larger than everything, the
// last one in a window counts.
extern RUTILE_API const OpDef kMaxPool3d;
RUTILE_API Tensor max_pool3d(Arg x, MaxPool3dAttrs attrs = {});
RUTILE_API MaxPool3dResult max_pool3d_with_indices(Arg x, MaxPool3dAttrs attrs = {});

struct AvgPool3dAttrs {
  Int3 kernel{1};
  Int3 stride{0};  // 0: the kernel's size
  Int3 pad{0};     // zeros on both sides
  bool ceil_mode = false;
  bool count_include_pad = true;  // the padding counts in the divisor
  int64_t divisor_override = 0;   // divisor of every window; 0: the number of its elements
  RUTILE_REFLECT(kernel, stride, pad, ceil_mode, count_include_pad, divisor_override)
};
// Floating dtypes. What ceil_mode adds beyond the padding never counts in the divisor.
extern RUTILE_API const OpDef kAvgPool3d;
RUTILE_API Tensor avg_pool3d(Arg x, AvgPool3dAttrs attrs = {});

struct AvgPool3dGradAttrs {
  Int3 size{0};  // depth, height and width of x
  Int3 kernel{1};
  Int3 stride{0};
  Int3 pad{0};
  bool ceil_mode = false;
  bool count_include_pad = true;
  int64_t divisor_override = 0;
  RUTILE_REFLECT(size, kernel, stride, pad, ceil_mode, count_include_pad, divisor_override)
};
// dx from dy.
extern RUTILE_API const OpDef kAvgPool3dGrad;
RUTILE_API Tensor avg_pool3d_grad(Arg dy, AvgPool3dGradAttrs attrs);

}  // namespace rutile::ops

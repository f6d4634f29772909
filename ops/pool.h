// SPDX-License-Identifier: Apache-2.0
// Pooling over the last two dimensions. x [n, c, h, w] or [c, h, w]; results have
//
//   size = floor((h + 2 pad - dilation (kernel - 1) - 1) / stride) + 1
//
// rows, columns alike; with ceil_mode rounded up, except that no window starts behind the data.
//
//   Tensor y = ops::max_pool2d(x, {.kernel = 3, .stride = 2, .pad = 1});
//   // x [8,64,112,112] -> [8,64,56,56]
//
// kValue for another rank, an image without pixels, kernel, stride or dilation < 1, pad outside
// [0, kernel / 2] and images too small for one window; kType for types not named below.
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct MaxPool2dAttrs {
  Int2 kernel{1};
  Int2 stride{0};  // 0: the kernel's size
  Int2 pad{0};     // on both sides, as if by the smallest value
  Int2 dilation{1};
  bool ceil_mode = false;
  RUTILE_REFLECT(kernel, stride, pad, dilation, ceil_mode)
};
struct MaxPool2dResult {
  Tensor y;        // as x
  Tensor indices;  // i32, the maximum's position row * w + column; -1 for a window without pixels
};

// Any real dtype but bool. The first of equal maxima counts; NaN is larger than everything, the
// last one in a window counts.
extern RUTILE_API const OpDef kMaxPool2d;
RUTILE_API Tensor max_pool2d(Arg x, MaxPool2dAttrs attrs = {});
RUTILE_API MaxPool2dResult max_pool2d_with_indices(Arg x, MaxPool2dAttrs attrs = {});

struct MaxPool2dGradAttrs {
  int64_t height = 0, width = 0;  // of x
  Int2 kernel{1};
  Int2 stride{0};
  Int2 pad{0};
  Int2 dilation{1};
  bool ceil_mode = false;
  RUTILE_REFLECT(height, width, kernel, stride, pad, dilation, ceil_mode)
};
// dx [n, c, height, width]: at each pixel the sum of dy over the windows that cover it and whose
// index names it. An index outside its own window adds nothing.
extern RUTILE_API const OpDef kMaxPool2dGrad;
RUTILE_API Tensor max_pool2d_grad(Arg dy, const Tensor& indices, MaxPool2dGradAttrs attrs);
// The element of x that the index names, per window; 0 for an index outside its own window.
extern RUTILE_API const OpDef kMaxPool2dGather;
RUTILE_API Tensor max_pool2d_gather(Arg x, const Tensor& indices, MaxPool2dAttrs attrs = {});

struct AvgPool2dAttrs {
  Int2 kernel{1};
  Int2 stride{0};  // 0: the kernel's size
  Int2 pad{0};     // zeros on both sides
  bool ceil_mode = false;
  bool count_include_pad = true;  // the padding counts in the divisor
  int64_t divisor_override = 0;   // divisor of every window; 0: the number of its elements
  RUTILE_REFLECT(kernel, stride, pad, ceil_mode, count_include_pad, divisor_override)
};
// Floating dtypes. What ceil_mode adds beyond the padding never counts in the divisor.
extern RUTILE_API const OpDef kAvgPool2d;
RUTILE_API Tensor avg_pool2d(Arg x, AvgPool2dAttrs attrs = {});

struct AvgPool2dGradAttrs {
  int64_t height = 0, width = 0;  // of x
  Int2 kernel{1};
  Int2 stride{0};
  Int2 pad{0};
  bool ceil_mode = false;
  bool count_include_pad = true;
  int64_t divisor_override = 0;
  RUTILE_REFLECT(height, width, kernel, stride, pad, ceil_mode, count_include_pad, divisor_override)
};
// dx [n, c, height, width] from dy.
extern RUTILE_API const OpDef kAvgPool2dGrad;
RUTILE_API Tensor avg_pool2d_grad(Arg dy, AvgPool2dGradAttrs attrs);

// Mean over h and w: [n, c, h, w] -> [n, c, 1, 1]. Floating dtypes.
extern RUTILE_API const OpDef kGlobalAvgPool;
RUTILE_API Tensor global_avg_pool(Arg x);

struct PlaneSizeAttrs {
  int64_t height = 0, width = 0;
  bool channels_last = false;  // placement of the result; that of dy does not tell
  RUTILE_REFLECT(height, width, channels_last)
};
// dy [n, c, 1, 1] -> dx [n, c, height, width].
extern RUTILE_API const OpDef kGlobalAvgPoolGrad;
RUTILE_API Tensor global_avg_pool_grad(Arg dy, PlaneSizeAttrs attrs);

struct AdaptiveAvgPool2dAttrs {
  Int2 output_size{1};
  RUTILE_REFLECT(output_size)
};
// Mean over rows floor(i h / size) to ceil((i + 1) h / size) - 1 for output row i, columns alike.
// Floating dtypes. The function calls global_avg_pool for one pixel, and avg_pool2d where the sizes
// divide.
extern RUTILE_API const OpDef kAdaptiveAvgPool2d;
RUTILE_API Tensor adaptive_avg_pool2d(Arg x, Int2 output_size);
extern RUTILE_API const OpDef kAdaptiveAvgPool2dGrad;  // dy -> dx [.., height, width]

// Rows (or columns) of a pooled image; an error for attributes that give none.
struct UpsampleNearest2dAttrs {
  Int2 scale{2};
  RUTILE_REFLECT(scale)
};
// Every pixel becomes scale.h x scale.w equal ones: x [n,c,h,w] (or [c,h,w]) -> [n,c,h*sh,w*sw].
// Error kValue for a scale below 1.
//
//   Tensor y = ops::upsample_nearest2d(x);   // f32[8,64,28,28] -> f32[8,64,56,56]
extern RUTILE_API const OpDef kUpsampleNearest2d;
RUTILE_API Tensor upsample_nearest2d(Arg x, Int2 scale = 2);

struct PoolAxis {
  int64_t size, kernel, stride, pad, dilation;
};
RUTILE_API Status pooled_size(const PoolAxis& axis, bool ceil_mode, const char* name,
                              int64_t* size);

}  // namespace rutile::ops

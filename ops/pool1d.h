// SPDX-License-Identifier: Apache-2.0
// Pooling over the last dimension: x [n, c, l] or [c, l]. These are the ops of pool.h for images
// one pixel high; sizes, ceil_mode, dtypes and errors are theirs.
//
//   Tensor y = ops::max_pool1d(x, {.kernel = 3, .stride = 2, .pad = 1});
//   // x [8,64,100] -> [8,64,50]
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct MaxPool1dAttrs {
  int64_t kernel = 1;
  int64_t stride = 0;  // 0: the kernel's size
  int64_t pad = 0;     // on both sides, as if by the smallest value
  int64_t dilation = 1;
  bool ceil_mode = false;
  RUTILE_REFLECT(kernel, stride, pad, dilation, ceil_mode)
};
struct MaxPool1dResult {
  Tensor y;        // as x
  Tensor indices;  // i32, the maximum's position; -1 for a window without pixels
};
extern RUTILE_API const OpDef kMaxPool1d;
RUTILE_API Tensor max_pool1d(Arg x, MaxPool1dAttrs attrs = {});
RUTILE_API MaxPool1dResult max_pool1d_with_indices(Arg x, MaxPool1dAttrs attrs = {});

struct AvgPool1dAttrs {
  int64_t kernel = 1;
  int64_t stride = 0;  // 0: the kernel's size
  int64_t pad = 0;     // zeros on both sides
  bool ceil_mode = false;
  bool count_include_pad = true;  // the padding counts in the divisor
  RUTILE_REFLECT(kernel, stride, pad, ceil_mode, count_include_pad)
};
extern RUTILE_API const OpDef kAvgPool1d;
RUTILE_API Tensor avg_pool1d(Arg x, AvgPool1dAttrs attrs = {});

}  // namespace rutile::ops

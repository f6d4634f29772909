// SPDX-License-Identifier: Apache-2.0
// Pooling by the power mean without its divisor: (sum over the window of x^p)^(1/p), over the last
// one to three dimensions. Sizes and errors as for the average pools; no padding. Floating dtypes.
// With odd p a window of a negative sum gives NaN, as in PyTorch. The gradient of a window whose
// sum is 0 is 0.
//
//   Tensor y = ops::lp_pool2d(x, {.norm_type = 2, .kernel = 3, .stride = 2});
#pragma once

#include "rutile/ops/call.h"

namespace rutile::ops {

struct LpPool1dAttrs {
  double norm_type = 2;  // p, not 0
  int64_t kernel = 1;
  int64_t stride = 0;  // 0: the kernel's size
  bool ceil_mode = false;
  RUTILE_REFLECT(norm_type, kernel, stride, ceil_mode)
};
struct LpPool2dAttrs {
  double norm_type = 2;
  Int2 kernel{1}, stride{0};
  bool ceil_mode = false;
  RUTILE_REFLECT(norm_type, kernel, stride, ceil_mode)
};
struct LpPool3dAttrs {
  double norm_type = 2;
  Int3 kernel{1}, stride{0};
  bool ceil_mode = false;
  RUTILE_REFLECT(norm_type, kernel, stride, ceil_mode)
};
extern RUTILE_API const OpDef kLpPool1d, kLpPool2d, kLpPool3d;
RUTILE_API Tensor lp_pool1d(Arg x, LpPool1dAttrs attrs);
RUTILE_API Tensor lp_pool2d(Arg x, LpPool2dAttrs attrs);
RUTILE_API Tensor lp_pool3d(Arg x, LpPool3dAttrs attrs);

}  // namespace rutile::ops

// SPDX-License-Identifier: Apache-2.0
// 1-D convolution: conv.h for sequences. Both ops are conv2d and conv_transpose2d of images that
// are one pixel high.
//
//   Tensor y = ops::conv1d(x, weight, {}, {.stride = 2, .pad = 1});
//   // x f32[8,64,100], weight f32[128,64,3] -> f32[8,128,50]
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct Conv1dAttrs {
  int64_t stride = 1, pad = 0, dilation = 1, groups = 1;
  RUTILE_REFLECT(stride, pad, dilation, groups)
};
// x [N,I,L], weight [O,I/groups,k], bias [O] give [N,O,OL]; sizes, dtypes and errors as for conv2d.
extern RUTILE_API const OpDef kConv1d;
RUTILE_API Tensor conv1d(Arg x, Arg weight, const Tensor& bias = {}, Conv1dAttrs attrs = {});

struct ConvTranspose1dAttrs {
  int64_t stride = 1, pad = 0, output_pad = 0, dilation = 1, groups = 1;
  RUTILE_REFLECT(stride, pad, output_pad, dilation, groups)
};
// Transposed convolution: x [N,I,L], weight [I,O/groups,k], bias [O] give [N,O,OL]; sizes as for
// conv_transpose2d.
//
//   Tensor y = ops::conv_transpose1d(x, weight, {}, {.stride = 2});
//   // x f32[8,64,50], weight f32[64,32,2] -> f32[8,32,100]
extern RUTILE_API const OpDef kConvTranspose1d;
RUTILE_API Tensor conv_transpose1d(Arg x, Arg weight, const Tensor& bias = {},
                                   ConvTranspose1dAttrs attrs = {});

}  // namespace rutile::ops

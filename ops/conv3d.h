// SPDX-License-Identifier: Apache-2.0
// 3-D convolution and its gradients: conv.h with a depth before height and width.
//
//   Tensor y = ops::conv3d(x, weight, {}, {.stride = {1, 2, 2}, .pad = 1});
//   // x f32[2,16,8,56,56], weight f32[32,16,3,3,3] -> f32[2,32,8,28,28]
//
// Results are channels-last in memory (NDHWC); the logical shape stays NCDHW.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct Conv3dAttrs {
  Int3 stride{1}, pad{0}, dilation{1};
  int64_t groups = 1;
  RUTILE_REFLECT(stride, pad, dilation, groups)
};
// x [N,I,D,H,W], weight [O,I/groups,kd,kh,kw], bias [O] give [N,O,OD,OH,OW]; sizes, dtypes and
// errors as for conv2d.
extern RUTILE_API const OpDef kConv3d;
RUTILE_API Tensor conv3d(Arg x, Arg weight, const Tensor& bias = {}, Conv3dAttrs attrs = {});

struct Conv3dInputGradAttrs {
  Int3 stride{1}, pad{0}, dilation{1};
  int64_t groups = 1;
  Dims input_shape;           // of x
  OptionalDType out_dtype{};  // default: dy's
  RUTILE_REFLECT(stride, pad, dilation, groups, input_shape, out_dtype)
};
// Gradient of conv3d by x: dy [N,O,OD,OH,OW], weight -> [N,I,D,H,W].
extern RUTILE_API const OpDef kConv3dInputGrad;
RUTILE_API Tensor conv3d_input_grad(Arg dy, Arg weight, Conv3dInputGradAttrs attrs);

struct Conv3dWeightGradAttrs {
  Int3 stride{1}, pad{0}, dilation{1};
  int64_t groups = 1;
  Dims weight_shape;
  OptionalDType out_dtype{};  // default: dy's
  RUTILE_REFLECT(stride, pad, dilation, groups, weight_shape, out_dtype)
};
// Gradient of conv3d by its weight: dy, x -> [O,I/groups,kd,kh,kw].
extern RUTILE_API const OpDef kConv3dWeightGrad;
RUTILE_API Tensor conv3d_weight_grad(Arg dy, Arg x, Conv3dWeightGradAttrs attrs);

struct ConvTranspose3dAttrs {
  Int3 stride{1}, pad{0}, output_pad{0}, dilation{1};
  int64_t groups = 1;
  RUTILE_REFLECT(stride, pad, output_pad, dilation, groups)
};
// Transposed convolution: x [N,I,D,H,W], weight [I,O/groups,kd,kh,kw], bias [O] give
// [N,O,OD,OH,OW]; sizes as for conv_transpose2d.
//
//   Tensor y = ops::conv_transpose3d(x, weight, {}, {.stride = 2});
//   // x f32[2,16,4,7,7], weight f32[16,8,2,2,2] -> f32[2,8,8,14,14]
extern RUTILE_API const OpDef kConvTranspose3d;
RUTILE_API Tensor conv_transpose3d(Arg x, Arg weight, const Tensor& bias = {},
                                   ConvTranspose3dAttrs attrs = {});

}  // namespace rutile::ops

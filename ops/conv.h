// SPDX-License-Identifier: Apache-2.0
// 2-D convolution (cross-correlation, as in every deep-learning framework) and its two gradients.
//
//   Tensor y = ops::conv2d(x, weight, {}, {.stride = 2, .pad = 1});
//   // x f32[8,64,56,56], weight f32[128,64,3,3] -> f32[8,128,28,28]
//
// y[n,o,i,j] = bias[o] + sum over c,p,q of x[n, g*I/G + c, i*s - pad + p*d, j*s - pad + q*d] *
// weight[o,c,p,q], where g = o / (O/G) and x is 0 outside. Results are channels-last in memory (of
// a blocked x: blocked), the layout that kernels like best; the logical shape stays NCHW.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct Conv2dAttrs {
  Int2 stride{1, 1}, pad{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  RUTILE_REFLECT(stride, pad, dilation, groups)
};
// x [N,I,H,W], weight [O,I/groups,kh,kw], bias [O] give [N,O,OH,OW] with
// OH = (H + 2 pad - dilation (kh - 1) - 1) / stride + 1. Floating and complex dtypes, promoted to
// one; N may be 0. The gradients of weight and bias come out in f32 when x is f16 or bf16. Error
// kValue for shapes that do not fit together or a kernel larger than the padded image. 3x3
// convolutions in f32 and their gradients may run by Winograd's algorithm, for tiles of 2x2
// results: as exact as the direct sum against the largest number of a tile, but one that is not
// finite spoils the whole tile.
extern RUTILE_API const OpDef kConv2d;
RUTILE_API Tensor conv2d(Arg x, Arg weight, const Tensor& bias = {}, Conv2dAttrs attrs = {});

struct Conv2dInputGradAttrs {
  Int2 stride{1, 1}, pad{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  Dims input_shape;           // of x
  OptionalDType out_dtype{};  // default: dy's
  RUTILE_REFLECT(stride, pad, dilation, groups, input_shape, out_dtype)
};
// Gradient of conv2d by x (the transposed convolution): dy [N,O,OH,OW], weight -> [N,I,H,W].
extern RUTILE_API const OpDef kConv2dInputGrad;
RUTILE_API Tensor conv2d_input_grad(Arg dy, Arg weight, Conv2dInputGradAttrs attrs);

struct Conv2dWeightGradAttrs {
  Int2 stride{1, 1}, pad{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  Dims weight_shape;
  OptionalDType out_dtype{};  // default: dy's
  RUTILE_REFLECT(stride, pad, dilation, groups, weight_shape, out_dtype)
};
// Gradient of conv2d by its weight: dy [N,O,OH,OW], x [N,I,H,W] -> [O,I/groups,kh,kw].
extern RUTILE_API const OpDef kConv2dWeightGrad;
RUTILE_API Tensor conv2d_weight_grad(Arg dy, Arg x, Conv2dWeightGradAttrs attrs);

struct ConvTranspose2dAttrs {
  Int2 stride{1, 1}, pad{0, 0}, output_pad{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  RUTILE_REFLECT(stride, pad, output_pad, dilation, groups)
};
// Transposed convolution, the gradient of conv2d by its input taken as a layer: x [N,I,H,W], weight
// [I,O/groups,kh,kw], bias [O] give [N,O,OH,OW] with OH = (H - 1) stride - 2 pad +
// dilation (kh - 1) + 1 + output_pad. output_pad, below stride or dilation, chooses between the
// sizes that a convolution of that stride maps to H.
//
//   Tensor y = ops::conv_transpose2d(x, weight, {}, {.stride = 2});
//   // x f32[8,64,28,28], weight f32[64,32,2,2] -> f32[8,32,56,56]
extern RUTILE_API const OpDef kConvTranspose2d;
RUTILE_API Tensor conv_transpose2d(Arg x, Arg weight, const Tensor& bias = {},
                                   ConvTranspose2dAttrs attrs = {});

}  // namespace rutile::ops

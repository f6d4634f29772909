// SPDX-License-Identifier: Apache-2.0
// A convolution or linear layer with what follows it, in one kernel: the inference pipeline makes
// them of neighbours in the graph.
//
//   Tensor y = ops::conv2d_act(x, weight, bias, residual, {.pad = 1, .act = Activation::kRelu});
//   // relu(conv2d(x, weight, bias) + residual)
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile {

namespace ops {
enum class Activation : uint8_t {
  kNone,
  kRelu,
  kRelu6,
  kSigmoid,
  kSilu,
  kHswish,
  kTanh,
  kGelu,
  kGeluTanh
};
}  // namespace ops
template <>
struct EnumNames<ops::Activation> {
  static constexpr const char* value[] = {"none",   "relu", "relu6", "sigmoid",  "silu",
                                          "hswish", "tanh", "gelu",  "gelu_tanh"};
};

namespace ops {

struct Conv2dActAttrs {
  Int2 stride{1, 1}, pad{0, 0}, dilation{1, 1};
  int64_t groups = 1;
  Activation act = Activation::kNone;
  RUTILE_REFLECT(stride, pad, dilation, groups, act)
};
// act(conv2d(x, weight, bias) + residual). x and weight of one dtype as in conv2d; bias [O] of that
// dtype, or f32 where x is f16 or bf16; residual as the result. Both may be empty.
extern RUTILE_API const OpDef kConv2dAct;
RUTILE_API Tensor conv2d_act(Arg x, Arg weight, const Tensor& bias = {},
                             const Tensor& residual = {}, Conv2dActAttrs attrs = {});

struct LinearActAttrs {
  Activation act = Activation::kNone;
  RUTILE_REFLECT(act)
};
// act(linear(x, weight, bias) + residual); dtypes as above.
extern RUTILE_API const OpDef kLinearAct;
RUTILE_API Tensor linear_act(Arg x, Arg weight, const Tensor& bias = {},
                             const Tensor& residual = {}, LinearActAttrs attrs = {});

}  // namespace ops
}  // namespace rutile

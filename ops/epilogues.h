// SPDX-License-Identifier: Apache-2.0
// Products with what stands around them in a training step in the same kernel: the compiler makes
// them of neighbours in the graph where a device has a kernel for them (graph/pass/fuse_epilogues).
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

// y = gelu(pre) by tanh, pre = linear(x, weight, bias): what the gradient of GELU reads. bias may
// be empty.
extern RUTILE_API const OpDef kLinearGelu;
struct LinearGeluResult {
  Tensor y, pre;
};
RUTILE_API LinearGeluResult linear_gelu(Arg x, Arg weight, const Tensor& bias = {});

// The gradient by `pre` of what follows gelu(pre) (by tanh): gelu'(pre) * matmul(dy, weight); dy
// [..., k], weight [k, n], pre as the product.
extern RUTILE_API const OpDef kMatmulGeluGrad;
RUTILE_API Tensor matmul_gelu_grad(Arg dy, Arg weight, const Tensor& pre);

// A product of matrices and the sums of its first factor over the dimension that is multiplied
// away, in the product's dtype: the gradients of a layer's weight and bias.
//
//   auto [dw, db] = ops::matmul_sums(dy, x, {.transpose_a = true});  // dy [n,out], x [n,in]
extern RUTILE_API const OpDef kMatmulSums;
struct MatmulSumsResult {
  Tensor product, sums;
};
RUTILE_API MatmulSumsResult matmul_sums(Arg x, Arg y, MatmulAttrs attrs = {});

}  // namespace rutile::ops

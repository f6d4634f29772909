// SPDX-License-Identifier: Apache-2.0
// Matrix products, for floating dtypes and integers. Low precision accumulates in f32.
//
//   Tensor y = ops::matmul(a, b);                       // a [8,1,3,5], b [4,5,2] -> [8,4,3,2]
//   Tensor g = ops::matmul(x, dy, {.transpose_a = true});  // x [n,in], dy [n,out] -> [in,out]
//   Tensor z = ops::linear(x, weight, bias);            // x [n,in], weight [out,in], bias [out]
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct MatmulAttrs {
  bool transpose_a = false;  // use x's (y's) last two dimensions exchanged
  bool transpose_b = false;
  OptionalDType out_dtype{};  // floating for floating inputs; default: theirs
  RUTILE_REFLECT(transpose_a, transpose_b, out_dtype)
};
// x [..., m, k] times y [..., k, n] gives [..., m, n]; leading dimensions broadcast as in NumPy. A
// 1-D x is a row, a 1-D y a column, and the dimension they lack is dropped from the result. Inputs
// are promoted to their common dtype. Error kValue for a scalar or for inner sizes that differ.
extern RUTILE_API const OpDef kMatmul;
RUTILE_API Tensor matmul(Arg x, Arg y, MatmulAttrs attrs = {});

// x [..., in] times weight [out, in] transposed, plus bias [out]: [..., out]. The gradients of
// weight and bias come out in f32 when x is f16 or bf16. The function takes a weight [in] with a
// bias [] too: [...].
extern RUTILE_API const OpDef kLinear;
RUTILE_API Tensor linear(Arg x, Arg weight, const Tensor& bias = {});

}  // namespace rutile::ops

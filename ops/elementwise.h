// SPDX-License-Identifier: Apache-2.0
// Elementwise ops. Shapes broadcast as in NumPy; dtypes of binary ops are promoted to their common
// type first. A number is weakly typed: it takes the tensor's dtype, unless a float meets an
// integer or bool tensor (f32), or an integer meets a bool tensor (i64).
//
//   Tensor y = ops::maximum(ops::mul(x, 0.5), b);   // x f32[8,3], b f32[3] -> f32[8,3]
//
// Errors: kValue for shapes that do not broadcast, kType for a dtype that the op does not know.
#pragma once

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

struct CastAttrs {
  DType dtype = DType::kF32;
  RUTILE_REFLECT(dtype)
};

// Declares the definition and the functions of an op of one or two inputs.
#define RUTILE_UNARY(constant, function) \
  extern RUTILE_API const OpDef constant; \
  RUTILE_API Tensor function(Arg x);
#define RUTILE_BINARY(constant, function)   \
  extern RUTILE_API const OpDef constant;   \
  RUTILE_API Tensor function(Arg x, Arg y); \
  RUTILE_API Tensor function(Arg x, Scalar y); \
  RUTILE_API Tensor function(Scalar x, Arg y);

RUTILE_BINARY(kAdd, add)
RUTILE_BINARY(kSub, sub)
RUTILE_BINARY(kMul, mul)
// True division: integers give f32.
RUTILE_BINARY(kDiv, div)
RUTILE_BINARY(kLessEqual, less_equal)

RUTILE_UNARY(kNeg, neg)
// max(x, 0); NaN stays NaN.
RUTILE_UNARY(kRelu, relu)

// dy where y > 0 (or NaN), else 0: the gradient of relu from its output y.
extern RUTILE_API const OpDef kReluGrad;
RUTILE_API Tensor relu_grad(Arg dy, Arg y);

// x where cond is true (nonzero), else y; x and y are promoted to their common dtype.
extern RUTILE_API const OpDef kWhere;
RUTILE_API Tensor where(Arg cond, Arg x, Arg y);

// x as `dtype`; x itself if it has that dtype. Float to integer truncates towards zero, saturates
// at the ends of the range and maps NaN to 0.
extern RUTILE_API const OpDef kCast;
RUTILE_API Tensor cast(Arg x, DType dtype);

#undef RUTILE_UNARY
#undef RUTILE_BINARY

}  // namespace rutile::ops

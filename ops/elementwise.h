// SPDX-License-Identifier: Apache-2.0
// Elementwise ops. Shapes broadcast as in NumPy; the inputs of an op with several are promoted to
// their common dtype first. A number is weakly typed: it takes the tensor's dtype, unless a float
// meets an integer or bool tensor (f32), or an integer meets a bool tensor (i64).
//
//   Tensor y = ops::maximum(ops::mul(x, 0.5), b);   // x f32[8,3], b f32[3] -> f32[8,3]
//
// NaN propagates everywhere, also through maximum, clip and relu. bf16 and f16 are computed in f32
// and rounded once. Where nothing else is said, the result has the inputs' dtype.
//
// Errors: kValue for shapes that do not broadcast, kType for a dtype that the op does not take
// (bool for arithmetic, floats for bit operations, complex numbers where values are compared by
// size or rounded; ops/complex.h says what becomes of them elsewhere).
#pragma once

#include <limits>

#include "rutile/ops/call.h"
#include "rutile/ops/op_def.h"

namespace rutile {
namespace ops {

#define RUTILE_UNARY(constant, function)  \
  extern RUTILE_API const OpDef constant; \
  RUTILE_API Tensor function(Arg x);
#define RUTILE_BINARY(constant, function)      \
  extern RUTILE_API const OpDef constant;      \
  RUTILE_API Tensor function(Arg x, Arg y);    \
  RUTILE_API Tensor function(Arg x, Scalar y); \
  RUTILE_API Tensor function(Scalar x, Arg y);

// ---- Arithmetic -------------------------------------------------------------------------------

RUTILE_BINARY(kAdd, add)  // bool: or
RUTILE_BINARY(kSub, sub)
RUTILE_BINARY(kMul, mul)  // bool: and
RUTILE_BINARY(kDiv, div)  // true division: integers give f32
// Python's // and %: rounded down, the remainder has y's sign. Integers: kValue for division by 0.
RUTILE_BINARY(kFloorDiv, floor_div)
RUTILE_BINARY(kRemainder, remainder)
// x to the power y. Integers wrap; an integer tensor to the power -1 (a number) is kValue.
RUTILE_BINARY(kPow, pow)
RUTILE_BINARY(kMaximum, maximum)
RUTILE_BINARY(kMinimum, minimum)
RUTILE_BINARY(kAtan2, atan2)  // angle of the point (y, x): atan2(x's role y, y's role x)

// ---- Comparison and logic: bool results -------------------------------------------------------

RUTILE_BINARY(kEqual, equal)
RUTILE_BINARY(kNotEqual, not_equal)
RUTILE_BINARY(kLess, less)
RUTILE_BINARY(kLessEqual, less_equal)
RUTILE_BINARY(kGreater, greater)
RUTILE_BINARY(kGreaterEqual, greater_equal)
RUTILE_BINARY(kLogicalAnd, logical_and)  // of x != 0 and y != 0
RUTILE_BINARY(kLogicalOr, logical_or)
RUTILE_BINARY(kLogicalXor, logical_xor)
RUTILE_UNARY(kLogicalNot, logical_not)
RUTILE_UNARY(kIsNan, isnan)
RUTILE_UNARY(kIsInf, isinf)
RUTILE_UNARY(kIsFinite, isfinite)

// ---- Bits: integers and bool ------------------------------------------------------------------

RUTILE_BINARY(kBitwiseAnd, bitwise_and)
RUTILE_BINARY(kBitwiseOr, bitwise_or)
RUTILE_BINARY(kBitwiseXor, bitwise_xor)
RUTILE_UNARY(kBitwiseNot, bitwise_not)

// ---- Unary functions --------------------------------------------------------------------------

RUTILE_UNARY(kNeg, neg)
RUTILE_UNARY(kAbs, abs)
RUTILE_UNARY(kSign, sign)
RUTILE_UNARY(kSquare, square)
RUTILE_UNARY(kFloor, floor)
RUTILE_UNARY(kCeil, ceil)
RUTILE_UNARY(kRound, round)  // half to even
RUTILE_UNARY(kTrunc, trunc)
// From here on integers and bool give f32.
RUTILE_UNARY(kExp, exp)
RUTILE_UNARY(kExp2, exp2)
RUTILE_UNARY(kExpm1, expm1)
RUTILE_UNARY(kLog, log)
RUTILE_UNARY(kLog2, log2)
RUTILE_UNARY(kLog1p, log1p)
RUTILE_UNARY(kSqrt, sqrt)
RUTILE_UNARY(kRsqrt, rsqrt)
RUTILE_UNARY(kReciprocal, reciprocal)
RUTILE_UNARY(kSin, sin)
RUTILE_UNARY(kCos, cos)
RUTILE_UNARY(kTan, tan)
RUTILE_UNARY(kAsin, asin)
RUTILE_UNARY(kAcos, acos)
RUTILE_UNARY(kAtan, atan)
RUTILE_UNARY(kSinh, sinh)
RUTILE_UNARY(kCosh, cosh)
RUTILE_UNARY(kTanh, tanh)
RUTILE_UNARY(kAsinh, asinh)
RUTILE_UNARY(kAcosh, acosh)
RUTILE_UNARY(kAtanh, atanh)
RUTILE_UNARY(kErf, erf)
RUTILE_UNARY(kErfc, erfc)

// ---- Activations: floats only, but for relu, relu6 and sigmoid ---------------------------------

RUTILE_UNARY(kRelu, relu)          // max(x, 0)
RUTILE_UNARY(kRelu6, relu6)        // min(max(x, 0), 6)
RUTILE_UNARY(kSigmoid, sigmoid)    // 1 / (1 + exp(-x))
RUTILE_UNARY(kSilu, silu)          // x * sigmoid(x)
RUTILE_UNARY(kSoftplus, softplus)  // log(1 + exp(x))
RUTILE_UNARY(kHsigmoid, hsigmoid)  // min(max(x + 3, 0), 6) / 6
RUTILE_UNARY(kHswish, hswish)      // x * hsigmoid(x)

// Gaussian error linear unit (Hendrycks and Gimpel, 2016): x times the normal distribution's cdf at
// x, or its approximation 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
enum class GeluApproximate : uint8_t { kNone, kTanh };
struct GeluAttrs {
  GeluApproximate approximate = GeluApproximate::kNone;
  RUTILE_REFLECT(approximate)
};
extern RUTILE_API const OpDef kGelu;
RUTILE_API Tensor gelu(Arg x, GeluAttrs attrs = {});

// x where x > 0, else alpha * x.
struct LeakyReluAttrs {
  double alpha = 0.01;
  RUTILE_REFLECT(alpha)
};
extern RUTILE_API const OpDef kLeakyRelu;
RUTILE_API Tensor leaky_relu(Arg x, LeakyReluAttrs attrs = {});

// x where x > 0, else alpha * (exp(x) - 1).
struct EluAttrs {
  double alpha = 1.0;
  RUTILE_REFLECT(alpha)
};
extern RUTILE_API const OpDef kElu;
RUTILE_API Tensor elu(Arg x, EluAttrs attrs = {});

// min(max(x, min), max); a bound left out does not bind. The gradient passes where min <= x <= max.
struct ClipAttrs {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  RUTILE_REFLECT(min, max)
};
extern RUTILE_API const OpDef kClip;
RUTILE_API Tensor clip(Arg x, ClipAttrs attrs);

// Gradients as ops of one pass: dy times the derivative, from the output y or the input x.
RUTILE_API Tensor relu_grad(Arg dy, Arg y);
RUTILE_API Tensor relu6_grad(Arg dy, Arg y);
RUTILE_API Tensor sigmoid_grad(Arg dy, Arg y);
RUTILE_API Tensor tanh_grad(Arg dy, Arg y);
RUTILE_API Tensor silu_grad(Arg dy, Arg x);
RUTILE_API Tensor hsigmoid_grad(Arg dy, Arg x);
RUTILE_API Tensor hswish_grad(Arg dy, Arg x);
RUTILE_API Tensor gelu_grad(Arg dy, Arg x, GeluAttrs attrs = {});
RUTILE_API Tensor leaky_relu_grad(Arg dy, Arg x, LeakyReluAttrs attrs = {});
RUTILE_API Tensor elu_grad(Arg dy, Arg x, EluAttrs attrs = {});
RUTILE_API Tensor clip_grad(Arg dy, Arg x, ClipAttrs attrs);
extern RUTILE_API const OpDef kReluGrad, kRelu6Grad, kSigmoidGrad, kTanhGrad, kSiluGrad,
    kHsigmoidGrad, kHswishGrad, kGeluGrad, kLeakyReluGrad, kEluGrad, kClipGrad;

// ---- Selection and conversion -----------------------------------------------------------------

// x where cond is true, else y. The function casts cond to bool (nonzero is true) and promotes x
// and y; the op wants that done.
extern RUTILE_API const OpDef kWhere;
RUTILE_API Tensor where(Arg cond, Arg x, Arg y);
RUTILE_API Tensor where(Arg cond, Arg x, Scalar y);
RUTILE_API Tensor where(Arg cond, Scalar x, Arg y);

// x as `dtype`; x itself if it has that dtype. Float to integer cuts off the fraction, saturates at
// the ends of the range and maps NaN to 0; integers wrap; bool is x != 0; complex to real drops the
// imaginary part.
struct CastAttrs {
  DType dtype = DType::kF32;
  RUTILE_REFLECT(dtype)
};
extern RUTILE_API const OpDef kCast;
RUTILE_API Tensor cast(Arg x, DType dtype);

#undef RUTILE_UNARY
#undef RUTILE_BINARY

}  // namespace ops

template <>
struct EnumNames<ops::GeluApproximate> {
  static constexpr const char* value[] = {"none", "tanh"};
};

}  // namespace rutile

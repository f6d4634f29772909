// SPDX-License-Identifier: Apache-2.0
// Operators on tensors and numbers: y = 2.0 * x + b. They are ops like any other: broadcast,
// promote, trace and differentiate. Compound assignment rebinds the handle; nobody else's tensor
// changes. There is no operator==: ops::equal compares elements.
#pragma once

#include "rutile/ops/elementwise.h"

namespace rutile {

#define RUTILE_OPERATOR(symbol, function)                                        \
  inline Tensor operator symbol(Arg x, Arg y) { return ops::function(x, y); }    \
  inline Tensor operator symbol(Arg x, Scalar y) { return ops::function(x, y); } \
  inline Tensor operator symbol(Scalar x, Arg y) { return ops::function(x, y); }
#define RUTILE_ASSIGN(symbol, function)                                                \
  inline Tensor& operator symbol(Tensor& x, Arg y) { return x = ops::function(x, y); } \
  inline Tensor& operator symbol(Tensor& x, Scalar y) { return x = ops::function(x, y); }

RUTILE_OPERATOR(+, add)
RUTILE_OPERATOR(-, sub)
RUTILE_OPERATOR(*, mul)
RUTILE_OPERATOR(/, div)
RUTILE_ASSIGN(+=, add)
RUTILE_ASSIGN(-=, sub)
RUTILE_ASSIGN(*=, mul)
RUTILE_ASSIGN(/=, div)

#undef RUTILE_OPERATOR
#undef RUTILE_ASSIGN

inline Tensor operator-(Arg x) { return ops::neg(x); }

}  // namespace rutile

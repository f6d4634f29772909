// SPDX-License-Identifier: Apache-2.0
// What pow() takes as a number.
#pragma once

#include "rutile/core/tensor.h"
#include "rutile/ops/op_def.h"

namespace rutile::ops {

extern RUTILE_API const OpDef kPow;

// kValue for an integer tensor to the power of a negative integer number: almost all such powers
// are 0, so floats were meant.
RUTILE_API void check_exponent(const Tensor& x, Scalar y);

}  // namespace rutile::ops

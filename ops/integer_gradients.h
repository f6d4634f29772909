// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rutile/core/api.h"
#include "rutile/core/complex.h"
#include "rutile/core/dtype.h"

namespace rutile::ops {

// Whether, on this thread and for now, integers and bools have gradients of their own dtype, as
// MindSpore's grad() gives them. Off: floating-point and complex tensors alone have.
RUTILE_API bool& integer_gradients();

inline bool has_gradient(DType t) {
  return is_differentiable(t) || (integer_gradients() && (is_integral(t) || t == DType::kBool));
}

}  // namespace rutile::ops

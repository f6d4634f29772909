// SPDX-License-Identifier: Apache-2.0
// beta x + alpha y, as addmm and its like end. Used inside the ops only.
#pragma once

#include <cmath>

#include "rutile/ops/einsum.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::ops {

// Integers are weighed by whole numbers.
inline Status check_weights(const AddmmAttrs& a, DType dtype) {
  if (!is_integral(dtype)) return Status();
  for (const double v : {a.alpha, a.beta}) {
    if (!(std::abs(v) <= 0x1p53) || v != std::trunc(v)) {
      return type_error(cat("weighs integers by integers, got ", v));
    }
  }
  return Status();
}

inline Tensor weighted_sum(const AddmmAttrs& a, const Tensor& x, const Tensor& y) {
  const auto times = [](const Tensor& t, double v) {
    if (v == 1) return t;
    return is_integral(t.dtype()) ? t * static_cast<int64_t>(v) : t * v;
  };
  const Tensor product = times(y, a.alpha);
  return a.beta == 0 ? product : times(x, a.beta) + product;
}

}  // namespace rutile::ops

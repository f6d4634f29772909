// SPDX-License-Identifier: Apache-2.0
// Complex element types and the real ones of their parts.
#pragma once

#include "rutile/core/dtype.h"

namespace rutile {

// Of the real and the imaginary part: c64 -> f32, c128 -> f64; real types are their own.
constexpr DType real_dtype(DType t) {
  return t == DType::kC64 ? DType::kF32 : t == DType::kC128 ? DType::kF64 : t;
}
// With such parts: f64 -> c128, other real types -> c64; complex ones are their own.
constexpr DType complex_dtype(DType t) {
  return t == DType::kF64 || t == DType::kC128 ? DType::kC128 : DType::kC64;
}
// Has gradients.
constexpr bool is_differentiable(DType t) { return is_floating(t) || is_complex(t); }

}  // namespace rutile

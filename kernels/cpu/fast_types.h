// SPDX-License-Identifier: Apache-2.0
// What most rows over kernels/cpu/isa ask first.
#pragma once

#include "rutile/kernels/cpu/isa.h"
#include "rutile/kernels/cpu/planning.h"

namespace rutile::kernels {

// f32 and bf16, on a processor that the kernels are compiled for.
inline bool is_fast_type(DType t, Reason* reason) {
  if (isa() == Isa::kBaseline) return refuse(reason, "needs AVX2");
  if (t != DType::kF32 && t != DType::kBF16) {
    return refuse(reason, cat("takes f32 and bf16, not ", t));
  }
  return true;
}

}  // namespace rutile::kernels

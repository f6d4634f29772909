// SPDX-License-Identifier: Apache-2.0
// Shared by printer and parser of the IR's text form.
#pragma once

#include <string>

#include "rutile/core/tensor.h"

namespace rutile::graph {

inline constexpr int64_t kMaxPrintedConstant = 16;

// "f32[2,3]" with the placement behind it where it is not row-major.
std::string meta_text(const TensorMeta& m);
// Element i in row-major order of a small tensor.
double element_as_double(const Tensor& t, int64_t i);

}  // namespace rutile::graph

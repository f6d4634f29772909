// SPDX-License-Identifier: Apache-2.0
// A call of an op of linear algebra as batches of matrices.
#pragma once

#include <initializer_list>

#include "rutile/kernels/cuda/linalg.h"
#include "rutile/ops/op_def.h"

namespace rutile::cuda {

// The core dimensions (1 or 2) of every operand. A batch of matrices without any element is none.
void set_matrices(const CallMeta& c, std::initializer_list<int> in, std::initializer_list<int> out,
                  LinalgArgs* a);

}  // namespace rutile::cuda

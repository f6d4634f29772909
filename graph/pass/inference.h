// SPDX-License-Identifier: Apache-2.0
// Shared by the passes of the inference pipeline.
#pragma once

#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// A constant in foreign memory (NumPy's, DLPack's): whoever owns it may write to it between runs,
// and the next run reads what is there. So nothing is computed from it beforehand.
RUTILE_API bool may_change(const Tensor& constant);

// By value: 1 if it is a State, a constant, or computed from such alone.
std::vector<char> fixed_values(const Graph& g);

}  // namespace rutile::graph

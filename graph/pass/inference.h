// SPDX-License-Identifier: Apache-2.0
// Shared by the passes of the inference pipeline.
#pragma once

#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// By value: 1 if it is a State, a constant, or computed from such alone.
std::vector<char> fixed_values(const Graph& g);

}  // namespace rutile::graph

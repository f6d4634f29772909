// SPDX-License-Identifier: Apache-2.0
// Shared by the passes of the inference pipeline.
#pragma once

#include <vector>

#include "rutile/graph/ir/graph.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::graph {

// By value: 1 if it is a State, a constant, or computed from such alone.
std::vector<char> fixed_values(const Graph& g);

// By value: the node that alone reads it; kNone if there are several, or if it leaves the graph.
std::vector<NodeId> only_readers(const Graph& g);

// Name of the first fast kernel row on the CPU that takes the call; null if none does.
const char* fast_row(const CallMeta& call);

}  // namespace rutile::graph

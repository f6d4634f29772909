// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// Calls the ops of a graph without States, on operands in place of its inputs: they run, or are
// recorded by the trace and the tape of the caller, with the origins they had.
RUTILE_API std::vector<Tensor> replay(const Graph& g, const std::vector<Tensor>& operands);

// What the nodes come from that this thread records meanwhile; null: what stands at the call.
const Origin*& replayed_origin();

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// By position in the order: the positions that must come later. Data flow, nodes with effects in
// their sequence, and in-place writers behind the other readers of that memory (views included)
// wherever that makes no cycle.
std::vector<std::vector<int>> successors(const Graph& g);

// Orders the nodes as successors() asks, keeping the given order wherever it is free. Error
// kInternal for a cycle.
Status sort_topologically(Graph& g);

// By node of the optimizer's phase: the position of the last node of another phase that must come
// before it, -1 if there is none; its own if it has effects.
std::vector<int> ready_positions(const Graph& g);

}  // namespace rutile::graph

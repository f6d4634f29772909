// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// By position in the order: the positions that must come later. Data flow, in-place writers behind
// the other readers, nodes with effects in their sequence.
std::vector<std::vector<int>> successors(const Graph& g);

// Orders the nodes after their inputs, keeping the given order wherever it is free. A node that
// writes a value in place stays behind the other readers of that value, and nodes with effects keep
// their sequence. Error kInternal for a cycle.
Status sort_topologically(Graph& g);

}  // namespace rutile::graph

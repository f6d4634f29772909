// SPDX-License-Identifier: Apache-2.0
// Purpose: a gradient does not wait for the end of the step: what updates States stands right
// behind what it reads, and behind the last other reader of those States. Requires: fuse_optimizer
// has run (it makes one update of the parameters whose gradients are ready at about the same time).
// Guarantees: nodes of the other phases keep their order; no update runs before another reader of
// what it writes. What depends on all gradients (clipping, a loss scale) stays at the end.
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"

namespace rutile::graph {

Status schedule(Graph& g) {
  const std::vector<int> ready = ready_positions(g);
  std::vector<std::vector<NodeId>> behind(g.order.size() + 1);  // by position + 1
  for (NodeId id : g.order) {
    if (g.nodes[id].phase == Phase::kOptimizer) behind[ready[id] + 1].push_back(id);
  }
  std::vector<NodeId> order = std::move(behind[0]);
  for (size_t i = 0; i < g.order.size(); ++i) {
    if (g.nodes[g.order[i]].phase != Phase::kOptimizer) order.push_back(g.order[i]);
    order.insert(order.end(), behind[i + 1].begin(), behind[i + 1].end());
  }
  g.order = std::move(order);
  return sort_topologically(g);
}

}  // namespace rutile::graph

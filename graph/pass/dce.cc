// SPDX-License-Identifier: Apache-2.0
// Purpose: dead code elimination. Requires: nothing. Guarantees: every node left is used by an
// output, a state, has an effect, or is a check of values in the forward phase: what raises eagerly
// raises compiled, also where nobody reads the result.
#include <algorithm>

#include "rutile/graph/ir/body.h"
#include "rutile/graph/pass/pass.h"

namespace rutile::graph {

Status dce(Graph& g) {
  std::vector<char> live(g.values.size(), 0);
  for (ValueId v : g.outputs) live[v] = 1;
  for (const StateSlot& s : g.states) live[s.out] = 1;
  std::vector<NodeId> kept;
  for (auto it = g.order.rbegin(); it != g.order.rend(); ++it) {
    const Node& n = g.nodes[*it];
    const bool used =
        std::any_of(n.outputs.begin(), n.outputs.end(), [&](ValueId v) { return live[v] != 0; });
    if (!used && !must_run(g, n)) continue;
    for (ValueId v : n.inputs) {
      if (v != kNone) live[v] = 1;
    }
    kept.push_back(*it);
  }
  std::reverse(kept.begin(), kept.end());
  g.order = std::move(kept);
  return Status();
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Purpose: folds, casts and packs what depends on States and constants alone when those change
// instead of in every call. Requires: the layout pass has run. Guarantees: if no State is written,
// every kernel whose operands are States, constants, or computed from those is of phase kFrozen;
// otherwise nothing changes.
#include "rutile/graph/pass/inference.h"
#include "rutile/graph/pass/pass.h"

namespace rutile::graph {

Status freeze(Graph& g) {
  if (writes_states(g)) return Status();
  const std::vector<char> fixed = fixed_values(g);
  for (NodeId id : g.order) {
    Node& n = g.nodes[id];
    if (!n.op->view_offset && !n.outputs.empty() && fixed[n.outputs[0]]) n.phase = Phase::kFrozen;
  }
  return Status();
}

}  // namespace rutile::graph

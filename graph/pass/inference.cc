// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/pass/inference.h"

#include <algorithm>

namespace rutile::graph {

std::vector<char> fixed_values(const Graph& g) {
  std::vector<char> fixed(g.values.size(), 0);
  for (size_t v = 0; v < fixed.size(); ++v) {
    const ValueKind kind = g.values[v].kind;
    fixed[v] = kind == ValueKind::kState || kind == ValueKind::kConstant;
  }
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    const bool known = std::all_of(n.inputs.begin(), n.inputs.end(),
                                   [&](ValueId v) { return v == kNone || fixed[v]; });
    if (!known || g.has_effects(n) || n.op->mutate_mask != 0) continue;
    for (ValueId v : n.outputs) fixed[v] = 1;
  }
  return fixed;
}

}  // namespace rutile::graph

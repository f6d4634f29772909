// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/pass/inference.h"

#include <algorithm>

#include "rutile/core/allocator.h"

namespace rutile::graph {

bool may_change(const Tensor& constant) {
  const RefCounted* owner = constant.defined() ? constant.impl()->owner.get() : nullptr;
  while (const auto* base = dynamic_cast<const TensorImpl*>(owner)) owner = base->owner.get();
  const auto* memory = dynamic_cast<const Storage*>(owner);
  return memory && memory->foreign();
}

std::vector<char> fixed_values(const Graph& g) {
  std::vector<char> fixed(g.values.size(), 0);
  for (size_t v = 0; v < fixed.size(); ++v) {
    const ValueKind kind = g.values[v].kind;
    fixed[v] = kind == ValueKind::kState ||
               (kind == ValueKind::kConstant && !may_change(g.values[v].constant));
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

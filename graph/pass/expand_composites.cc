// SPDX-License-Identifier: Apache-2.0
// Purpose: ops that have no kernel row run as their composition. Requires: nothing. Guarantees:
// every node left has a kernel row that takes it or is a view. Nodes keep the origins of what they
// replace, values their placement.
#include "rutile/graph/pass/append.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/composition.h"
#include "rutile/ops/plan_cache.h"

namespace rutile::graph {

namespace {

// Appends the composition of `n` to the end of g.order.
void expand(Graph& g, NodeId id, Renames* renames) {
  const Node n = g.nodes[id];
  AppendScope append(g, n, n.origins);
  std::vector<Tensor> in;
  for (ValueId v : n.inputs) in.push_back(append.symbol(renames->resolve(v)));
  TensorList results = n.op->compose(n.attrs.get(), in);
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    const Tensor r = placed_like(results[static_cast<int>(i)], g.meta(n.outputs[i]));
    renames->put(n.outputs[i], append.value_of(r));
  }
}

bool needs_expansion(const Graph& g, const Node& n) {
  if (n.op->view_offset || !n.op->compose || n.op->runs_bodies) return false;
  PlanEntry entry;
  const Status s =
      plan_call(*n.op, n.attrs.get(), g.input_metas(n), call_modes().reference_kernels, &entry);
  return s.ok() && !entry.plan;
}

}  // namespace

Status expand_composites(Graph& g) {
  // A composition may contain further compositions: until nothing changes.
  for (bool changed = true; changed;) {
    changed = false;
    Renames renames;
    const std::vector<NodeId> old = std::move(g.order);
    g.order.clear();
    for (NodeId id : old) {
      if (needs_expansion(g, g.nodes[id])) {
        expand(g, id, &renames);
        changed = true;
      } else {
        g.order.push_back(id);
      }
    }
    if (changed) g.replace_uses(renames.map());
  }
  return Status();
}

}  // namespace rutile::graph

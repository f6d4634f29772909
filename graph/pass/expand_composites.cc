// SPDX-License-Identifier: Apache-2.0
// Purpose: ops that have no kernel row run as their composition. Requires: nothing. Guarantees:
// every node left has a kernel row that takes it or is a view. Nodes keep the origins of what they
// replace, values their placement.
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/trace/tracer.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

// The result of a composition as the op's output was placed: views of it rely on that.
Tensor placed_like(const Tensor& t, const TensorMeta& meta) {
  if (same_placement(t.meta(), meta)) return t;
  if (meta.is_contiguous()) return ops::contiguous(t);
  const Tensor moved = ops::reorder(t, placement_of(meta));
  RUTILE_CHECK(same_placement(moved.meta(), meta),
               "a composition places its results as infer says");
  return moved;
}

// Appends the composition of `n` to the end of g.order.
void expand(Graph& g, NodeId id, std::vector<ValueId>* map) {
  Tracer tracer(g);
  const Node n = g.nodes[id];
  std::vector<Tensor> in;
  for (ValueId v : n.inputs) {
    while (v != kNone && (*map)[v] != v) v = (*map)[v];
    in.push_back(v == kNone ? Tensor() : tracer.symbol(v));
  }
  CallModes clean;
  clean.trace = &tracer;
  clean.states = &tracer;
  clean.clone_group = n.clone_group;
  ScopedValue<CallModes> modes(call_modes(), clean);
  ScopedValue<Phase> phase(current_phase(), n.phase);
  const size_t first = g.nodes.size();
  TensorList results = n.op->compose(n.attrs.get(), in);
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    Tensor& r = results[static_cast<int>(i)];
    r = placed_like(r, g.meta(n.outputs[i]));
  }
  for (size_t k = first; k < g.nodes.size(); ++k) g.nodes[k].origins = n.origins;
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    const ValueId v = tracer.value_of(results[static_cast<int>(i)]);
    while (map->size() < g.values.size()) map->push_back(static_cast<ValueId>(map->size()));
    (*map)[n.outputs[i]] = v;
  }
}

bool needs_expansion(const Graph& g, const Node& n) {
  if (n.op->view_offset || !n.op->compose) return false;
  PlanEntry entry;
  const Status s = plan_call(*n.op, n.attrs.get(), g.input_metas(n), DeviceType::kCpu,
                             call_modes().reference_kernels, &entry);
  return s.ok() && !entry.plan;
}

}  // namespace

Status expand_composites(Graph& g) {
  // A composition may contain further compositions: until nothing changes.
  for (bool changed = true; changed;) {
    changed = false;
    std::vector<ValueId> map(g.values.size());
    for (size_t v = 0; v < map.size(); ++v) map[v] = static_cast<ValueId>(v);
    const std::vector<NodeId> old = std::move(g.order);
    g.order.clear();
    for (NodeId id : old) {
      if (needs_expansion(g, g.nodes[id])) {
        expand(g, id, &map);
        changed = true;
      } else {
        g.order.push_back(id);
      }
    }
    if (changed) g.replace_uses(map);
  }
  return Status();
}

}  // namespace rutile::graph

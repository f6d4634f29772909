// SPDX-License-Identifier: Apache-2.0
// Purpose: the updates of parameters that share rule, hyperparameters, learning rate and gradient
// scale become multi-tensor nodes: one kernel each, balanced over the threads. One node takes the
// gradients that are ready one after the other, some megabytes of them, so that they need not wait
// for all others (schedule moves it there). Requires: nothing. Guarantees: an update that depends
// on another one never shares a node with it, nor do updates on two sides of one that does; a
// gradient that is not row-major keeps its parameter apart.
#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/optim.h"

namespace rutile::graph {

namespace {

ValueId operand(const Node& n, int i) {
  return i != kNone && i < static_cast<int>(n.inputs.size()) ? n.inputs[i] : kNone;
}

// The families' single ops only: a fused update is not fused again.
const ops::UpdateFamily* family_of(const OpDef* op) {
  const ops::UpdateFamily* f = ops::find_update(op);
  return f && f->single == op ? f : nullptr;
}

ValueId gradient(const ops::UpdateFamily& f, const Node& n) { return n.inputs[f.slots + 1]; }
// lr, step, skip and grad_scale.
using Scalars = std::array<ValueId, ops::kUpdateScalars>;
Scalars scalars(const ops::UpdateFamily& f, const Node& n) {
  Scalars s;
  for (int i = 0; i < ops::kUpdateScalars; ++i) s[i] = operand(n, f.slots + 2 + i);
  return s;
}

using Key = std::tuple<int, const OpDef*, std::string, Scalars, DType, DType>;

// By node: how many updates lie on the longest path to it. Updates of one level do not depend on
// one another, and groups of equal level make no cycle.
std::vector<int> update_levels(const Graph& g) {
  std::vector<int> of_value(g.values.size(), 0), of_node(g.nodes.size(), 0);
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    int level = 0;
    for (ValueId v : n.inputs) {
      if (v != kNone) level = std::max(level, of_value[v]);
    }
    of_node[id] = level;
    for (ValueId v : n.outputs) of_value[v] = level + (family_of(n.op) ? 1 : 0);
  }
  return of_node;
}

NodeId make_multi(Graph& g, const ops::UpdateFamily& f, const std::vector<NodeId>& members,
                  Renames* renames) {
  const Node first = g.nodes[members[0]];
  const Scalars shared = scalars(f, first);
  std::vector<ValueId> in(shared.begin(), shared.end());
  std::vector<TensorMeta> metas;
  std::vector<int32_t> origins;
  for (int s = 0; s <= f.slots; ++s) {
    for (NodeId id : members) {
      in.push_back(g.nodes[id].inputs[s]);
      metas.push_back(g.meta(g.nodes[id].outputs[s]));
    }
  }
  for (NodeId id : members) {
    in.push_back(gradient(f, g.nodes[id]));
    origins = merge_origins(origins, g.nodes[id].origins);
  }
  const NodeId multi =
      g.add_node(*f.multi, first.attrs, std::move(in), metas, std::move(origins), first.phase);
  size_t o = 0;
  for (int s = 0; s <= f.slots; ++s) {
    for (NodeId id : members) renames->put(g.nodes[id].outputs[s], g.nodes[multi].outputs[o++]);
  }
  return multi;
}

// From this many bytes of gradients on they get an update of their own.
constexpr int64_t kUpdateBytes = 8 << 20;

// Members of one update, in the order in which their gradients are ready.
std::vector<std::vector<NodeId>> split(const Graph& g, std::vector<NodeId> members,
                                       const std::vector<int>& ready) {
  std::stable_sort(members.begin(), members.end(),
                   [&](NodeId a, NodeId b) { return ready[a] < ready[b]; });
  std::vector<std::vector<NodeId>> parts(1);
  int64_t bytes = 0;
  for (NodeId id : members) {
    if (bytes >= kUpdateBytes && parts.back().size() > 1 &&
        ready[id] != ready[parts.back().back()]) {
      parts.emplace_back();
      bytes = 0;
    }
    parts.back().push_back(id);
    bytes += g.meta(g.nodes[id].inputs[0]).nbytes();
  }
  if (parts.size() > 1 && parts.back().size() == 1) {
    parts[parts.size() - 2].push_back(parts.back()[0]);
    parts.pop_back();
  }
  return parts;
}

}  // namespace

Status fuse_optimizer(Graph& g) {
  const std::vector<int> levels = update_levels(g), ready = ready_positions(g);
  const std::vector<int> position = g.positions();
  std::map<Key, std::vector<NodeId>> groups;
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    const ops::UpdateFamily* f = family_of(n.op);
    if (!f) continue;
    if (const TensorMeta& grad = g.meta(gradient(*f, n)); !grad.is_contiguous()) {
      remark_refused(g, {id}, cat("its gradient is not row-major: ", grad));
      continue;
    }
    const Key key{levels[id],
                  n.op,
                  attrs_to_string(*n.op->attrs, n.attrs.get(), true),
                  scalars(*f, n),
                  g.meta(n.inputs[0]).dtype,
                  g.meta(gradient(*f, n)).dtype};
    groups[key].push_back(id);
  }
  Renames renames;
  std::vector<NodeId> becomes(g.nodes.size(), kNone);  // last member -> multi node
  std::vector<char> dead(g.nodes.size(), 0);
  for (const auto& [key, members] : groups) {
    if (members.size() < 2) {
      remark_refused(g, members, "no other update shares its rule, settings, rate and types");
      continue;
    }
    remark_done(g, members);
    for (NodeId id : members) dead[id] = 1;
    for (const std::vector<NodeId>& part : split(g, members, ready)) {
      const NodeId last = *std::max_element(
          part.begin(), part.end(), [&](NodeId a, NodeId b) { return position[a] < position[b]; });
      becomes[last] = make_multi(g, *family_of(std::get<1>(key)), part, &renames);
    }
  }
  std::vector<NodeId> order;
  for (NodeId id : g.order) {
    if (becomes[id] != kNone) order.push_back(becomes[id]);
    if (!dead[id]) order.push_back(id);
  }
  g.order = std::move(order);
  g.replace_uses(renames.map());
  return sort_topologically(g);
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Purpose: neighbouring elementwise ops of one shape become one fused_elementwise node, so that
// what lies between them never reaches memory. Requires: layout has run (placements are final).
// Guarantees: every group is convex (nothing outside stands between two members), has at least two
// members and a fast kernel for its operands as placed; results are those of the single ops.
#include <algorithm>
#include <map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/kernel_table.h"

namespace rutile::graph {

namespace {

constexpr int kMaxOutputs = 8;

class ElementwiseFusion {
 public:
  explicit ElementwiseFusion(Graph& g) : g_(g), group_of_(g.nodes.size(), kNone) {}
  Status run();

 private:
  struct Group {
    std::vector<NodeId> members;
  };
  bool may_fuse(const Node& n) const;
  // Empty if n may join the group of a node it reads, else why not.
  std::string obstacle(const Node& n, int group) const;
  void form_groups();
  void dissolve_cycles();
  // The fused node of a group; kNone if no kernel takes it.
  NodeId build(const Group& group, std::vector<ValueId>* map);

  Graph& g_;
  std::vector<int> group_of_;  // by node
  std::vector<Group> groups_;
  std::vector<std::vector<NodeId>> readers_;  // by value; kNone for outputs and states
};

bool ElementwiseFusion::may_fuse(const Node& n) const {
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  return n.op->elementwise && n.outputs.size() == 1 && n.op->mutate_mask == 0 &&
         ops::fusible(g_.call_meta(n, &in, &out));
}

std::string ElementwiseFusion::obstacle(const Node& n, int group) const {
  const Group& c = groups_[group];
  const Node& last = g_.nodes[c.members.back()];
  const TensorMeta &own = g_.meta(n.outputs[0]), &theirs = g_.meta(last.outputs[0]);
  if (!same_placement(own, theirs)) return cat("it gives ", own, ", the others ", theirs);
  if (n.phase != last.phase) {
    return cat("one is of the ", phase_name(last.phase), ", the other of the ",
               phase_name(n.phase));
  }
  if (n.clone_group != last.clone_group) return "one is computed again for the gradient";
  if (static_cast<int>(c.members.size()) < ops::kMaxFusedSteps) return "";
  return cat("the group has ", ops::kMaxFusedSteps, " ops already");
}

void ElementwiseFusion::form_groups() {
  for (NodeId id : g_.order) {
    const Node& n = g_.nodes[id];
    if (!may_fuse(n)) continue;
    NodeId neighbour = kNone;
    std::string why;
    // The latest input first: its value is still in the cache.
    for (size_t k = n.inputs.size(); k-- > 0 && group_of_[id] == kNone;) {
      const NodeId p = n.inputs[k] == kNone ? kNone : g_.values[n.inputs[k]].producer;
      if (p == kNone || group_of_[p] == kNone) continue;
      if (std::string text = obstacle(n, group_of_[p]); !text.empty()) {
        neighbour = p;
        why = std::move(text);
        continue;
      }
      group_of_[id] = group_of_[p];
      groups_[group_of_[p]].members.push_back(id);
    }
    if (group_of_[id] == kNone) {
      group_of_[id] = static_cast<int>(groups_.size());
      groups_.push_back({{id}});
      if (neighbour != kNone) remark_refused(g_, {neighbour, id}, why);
    }
  }
}

// Something outside may read one member and feed another: such a group cannot be one node.
// Contracts the groups and dissolves the last one of every cycle until none is left.
void ElementwiseFusion::dissolve_cycles() {
  const std::vector<std::vector<int>> after = successors(g_);
  for (;;) {
    const size_t n = g_.order.size();
    std::vector<int> unit(n);  // of a position: its group, or a number of its own
    for (size_t i = 0; i < n; ++i) {
      const int c = group_of_[g_.order[i]];
      unit[i] =
          c != kNone && groups_[c].members.size() > 1 ? c : static_cast<int>(groups_.size() + i);
    }
    std::vector<std::vector<int>> edges(groups_.size() + n);
    std::vector<int> waiting(groups_.size() + n, 0), ready;
    for (size_t i = 0; i < n; ++i) {
      for (int later : after[i]) {
        if (unit[later] == unit[i]) continue;
        edges[unit[i]].push_back(unit[later]);
        ++waiting[unit[later]];
      }
    }
    for (size_t u = 0; u < edges.size(); ++u) {
      if (waiting[u] == 0) ready.push_back(static_cast<int>(u));
    }
    while (!ready.empty()) {
      const int u = ready.back();
      ready.pop_back();
      for (int later : edges[u]) {
        if (--waiting[later] == 0) ready.push_back(later);
      }
    }
    int stuck = kNone;
    for (size_t c = 0; c < groups_.size(); ++c) {
      if (waiting[c] > 0 && groups_[c].members.size() > 1) stuck = static_cast<int>(c);
    }
    if (stuck == kNone) return;
    remark_refused(g_, groups_[stuck].members, "an op between them reads one and feeds another");
    for (NodeId id : groups_[stuck].members) group_of_[id] = kNone;
    groups_[stuck].members.clear();
  }
}

NodeId ElementwiseFusion::build(const Group& group, std::vector<ValueId>* map) {
  const int id = group_of_[group.members[0]];
  std::vector<ValueId> in, out;
  std::map<ValueId, int> number;  // value -> its number in the program
  for (NodeId m : group.members) {
    for (ValueId v : g_.nodes[m].inputs) {
      const NodeId p = g_.values[v].producer;
      if ((p != kNone && group_of_[p] == id) ||
          !number.emplace(v, static_cast<int>(in.size())).second) {
        continue;
      }
      in.push_back(v);
    }
  }
  const auto refuse = [&](std::string why) {
    remark_refused(g_, group.members, std::move(why));
    return kNone;
  };
  if (static_cast<int>(in.size()) > ops::kMaxFusedInputs) {
    return refuse(cat("together they read ", in.size(), " values, at most ", ops::kMaxFusedInputs));
  }
  ops::FusedProgram program(static_cast<int>(in.size()));
  std::vector<TensorMeta> metas;
  std::vector<int32_t> origins;
  for (NodeId m : group.members) {
    const Node& n = g_.nodes[m];
    SmallVector<int, 3> operands;
    for (ValueId v : n.inputs) operands.push_back(number.at(v));
    const ValueId result = n.outputs[0];
    number[result] = program.add(*n.op, operands, n.attrs.get());
    origins = merge_origins(origins, n.origins);
    const bool read_outside =
        std::any_of(readers_[result].begin(), readers_[result].end(),
                    [&](NodeId r) { return r == kNone || group_of_[r] != id; });
    if (!read_outside) continue;
    program.outputs.push_back(number[result]);
    metas.push_back(g_.meta(result));
    out.push_back(result);
  }
  // Nobody reads dead members where dce is off.
  if (out.empty()) return refuse("nobody reads what they give");
  if (static_cast<int>(out.size()) > kMaxOutputs) {
    return refuse(cat("together they give ", out.size(), " values, at most ", kMaxOutputs));
  }
  const ops::FusedElementwiseAttrs attrs{program.text()};
  const Node& first = g_.nodes[group.members[0]];
  const Phase phase = first.phase;
  const int32_t clones = first.clone_group;
  SmallVector<const TensorMeta*, 6> pointers;
  for (ValueId v : in) pointers.push_back(&g_.meta(v));
  const CallMeta call{&ops::kFusedElementwise, &attrs, pointers, metas};
  if (!has_fast_kernel(call, DeviceType::kCpu)) return refuse("no kernel takes them as they lie");
  const NodeId fused =
      g_.add_node(ops::kFusedElementwise, AnyAttrs(ops::kFusedElementwise.attrs, &attrs), in, metas,
                  std::move(origins), phase);
  g_.nodes[fused].clone_group = clones;
  remark_done(g_, group.members);
  while (map->size() < g_.values.size()) map->push_back(static_cast<ValueId>(map->size()));
  for (size_t i = 0; i < out.size(); ++i) (*map)[out[i]] = g_.nodes[fused].outputs[i];
  return fused;
}

Status ElementwiseFusion::run() {
  form_groups();
  dissolve_cycles();
  readers_.resize(g_.values.size());
  for (NodeId id : g_.order) {
    for (ValueId v : g_.nodes[id].inputs) {
      if (v != kNone) readers_[v].push_back(id);
    }
  }
  for (ValueId v : g_.outputs) readers_[v].push_back(kNone);
  for (const StateSlot& s : g_.states) readers_[s.out].push_back(kNone);
  std::vector<ValueId> map(g_.values.size());
  for (size_t v = 0; v < map.size(); ++v) map[v] = static_cast<ValueId>(v);
  std::vector<NodeId> fused(groups_.size(), kNone);
  for (size_t c = 0; c < groups_.size(); ++c) {
    if (groups_[c].members.size() > 1) fused[c] = build(groups_[c], &map);
  }
  std::vector<NodeId> order;
  for (NodeId id : g_.order) {
    const int c = static_cast<size_t>(id) < group_of_.size() ? group_of_[id] : kNone;
    if (c == kNone || fused[c] == kNone) {
      order.push_back(id);
    } else if (groups_[c].members.back() == id) {
      order.push_back(fused[c]);
    }
  }
  g_.order = std::move(order);
  g_.replace_uses(map);
  return sort_topologically(g_);
}

}  // namespace

Status fuse_elementwise(Graph& g) { return ElementwiseFusion(g).run(); }

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Purpose: the updates of parameters that share rule, hyperparameters and learning rate become
// multi-tensor nodes: one kernel each, balanced over the threads. One node takes the gradients that
// are ready one after the other, some megabytes of them, so that they need not wait for all others
// (schedule moves it there). Requires: nothing. Guarantees: an
// update that depends on another one never shares a node with it, nor do updates on two sides of
// one that does; a gradient that is not row-major keeps its parameter apart.
#include <algorithm>
#include <map>
#include <tuple>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/optim.h"

namespace rutile::graph {

namespace {

// Where the operands of an update stand: `states` first, then by these indices.
struct Family {
  const OpDef* single;
  const OpDef* multi;
  int states, grad, lr, step, skip;  // step kNone: the rule has none
};
const Family kFamilies[] = {
    {&ops::kSgd, &ops::kSgdMulti, 1, 1, 2, kNone, 3},
    {&ops::kMomentum, &ops::kMomentumMulti, 2, 2, 3, 4, 5},
    {&ops::kAdam, &ops::kAdamMulti, 3, 4, 5, 3, 6},
    {&ops::kAdamW, &ops::kAdamWMulti, 3, 4, 5, 3, 6},
};

const Family* family_of(const OpDef* op) {
  for (const Family& f : kFamilies) {
    if (f.single == op) return &f;
  }
  return nullptr;
}

ValueId operand(const Node& n, int i) {
  return i != kNone && i < static_cast<int>(n.inputs.size()) ? n.inputs[i] : kNone;
}

using Key = std::tuple<int, const OpDef*, std::string, ValueId, ValueId, ValueId, DType, DType>;

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

AnyAttrs multi_attrs(const Family& f, const Node& single, int64_t count) {
  AnyAttrs attrs(f.multi->attrs, nullptr);
  for (int i = 0; i < f.multi->attrs->num_fields; ++i) {
    const std::string_view name = field_name(*f.multi->attrs, i);
    const int from = field_index(*f.single->attrs, name);
    const AttrValue value =
        from < 0 ? AttrValue(count) : f.single->attrs->get(single.attrs.get(), from);
    throw_if_error(f.multi->attrs->set(attrs.get_mutable(), i, value));
  }
  return attrs;
}

NodeId make_multi(Graph& g, const Family& f, const std::vector<NodeId>& members, Renames* renames) {
  const Node first = g.nodes[members[0]];
  std::vector<ValueId> in{operand(first, f.lr)};
  if (f.step != kNone) in.push_back(operand(first, f.step));
  in.push_back(operand(first, f.skip));
  std::vector<TensorMeta> metas;
  std::vector<int32_t> origins;
  for (int s = 0; s < f.states; ++s) {
    for (NodeId id : members) {
      in.push_back(g.nodes[id].inputs[s]);
      metas.push_back(g.meta(g.nodes[id].outputs[s]));
    }
  }
  for (NodeId id : members) {
    in.push_back(g.nodes[id].inputs[f.grad]);
    origins = merge_origins(origins, g.nodes[id].origins);
  }
  const auto count = static_cast<int64_t>(members.size());
  const NodeId multi = g.add_node(*f.multi, multi_attrs(f, first, count), std::move(in), metas,
                                  std::move(origins), first.phase);
  size_t o = 0;
  for (int s = 0; s < f.states; ++s) {
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
    const Family* f = family_of(n.op);
    if (!f) continue;
    if (const TensorMeta& grad = g.meta(n.inputs[f->grad]); !grad.is_contiguous()) {
      remark_refused(g, {id}, cat("its gradient is not row-major: ", grad));
      continue;
    }
    const Key key{levels[id],
                  n.op,
                  attrs_to_string(*n.op->attrs, n.attrs.get(), true),
                  operand(n, f->lr),
                  operand(n, f->step),
                  operand(n, f->skip),
                  g.meta(n.inputs[0]).dtype,
                  g.meta(n.inputs[f->grad]).dtype};
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

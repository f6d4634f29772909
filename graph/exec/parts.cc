// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/parts.h"

#include <algorithm>

namespace rutile::graph {

namespace {

// The nodes of `g` in this part that its kernels or `outputs` need: kernels go by their phase, a
// view goes wherever it is read.
std::vector<NodeId> part_order(const Graph& g, bool main, const std::vector<ValueId>& outputs) {
  std::vector<char> read(g.values.size(), 0);
  for (ValueId v : outputs) read[v] = 1;
  if (main) {
    for (const StateSlot& s : g.states) read[s.out] = 1;
  }
  std::vector<NodeId> order;
  for (auto it = g.order.rbegin(); it != g.order.rend(); ++it) {
    const Node& n = g.nodes[*it];
    const bool wanted = n.op->view_offset ? std::any_of(n.outputs.begin(), n.outputs.end(),
                                                        [&](ValueId v) { return read[v] != 0; })
                                          : (n.phase == Phase::kFrozen) != main;
    if (!wanted) continue;
    order.push_back(*it);
    for (ValueId v : n.inputs) {
      if (v != kNone) read[v] = 1;
    }
  }
  std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace

std::pair<Part, Part> split(const Graph& g) {
  Part main, frozen;
  frozen.main = false;
  main.outputs = g.outputs;
  main.order = part_order(g, true, main.outputs);
  std::vector<char> listed(g.values.size(), 0);
  auto read = [&](ValueId v) {
    const NodeId p = v == kNone ? kNone : g.values[v].producer;
    if (p == kNone || g.nodes[p].phase != Phase::kFrozen || listed[v]++) return;
    frozen.outputs.push_back(v);
  };
  for (NodeId id : main.order) {
    for (ValueId v : g.nodes[id].inputs) read(v);
  }
  for (ValueId v : g.outputs) read(v);
  main.frozen = frozen.outputs;
  frozen.order = part_order(g, false, frozen.outputs);
  return {std::move(main), std::move(frozen)};
}

}  // namespace rutile::graph

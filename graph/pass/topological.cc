// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/pass/topological.h"

#include <functional>
#include <queue>

namespace rutile::graph {

std::vector<std::vector<int>> successors(const Graph& g) {
  const std::vector<int> position = g.positions();
  const size_t n = g.order.size();
  std::vector<std::vector<int>> after(n);
  auto depend = [&](int later, int earlier) {
    if (later != earlier) after[earlier].push_back(later);
  };
  std::vector<std::vector<int>> readers(g.values.size());
  int last_effect = -1;
  for (size_t i = 0; i < n; ++i) {
    const Node& node = g.nodes[g.order[i]];
    for (ValueId v : node.inputs) {
      if (v == kNone) continue;
      readers[v].push_back(static_cast<int>(i));
      const NodeId producer = g.values[v].producer;
      if (producer != kNone) depend(static_cast<int>(i), position[producer]);
    }
    if (g.has_effects(node)) {
      if (last_effect >= 0) depend(static_cast<int>(i), last_effect);
      last_effect = static_cast<int>(i);
    }
  }
  for (size_t i = 0; i < n; ++i) {
    const Node& node = g.nodes[g.order[i]];
    for (ValueId v : written_inputs(node)) {
      for (int reader : readers[v]) depend(static_cast<int>(i), reader);
    }
  }
  return after;
}

Status sort_topologically(Graph& g) {
  const size_t n = g.order.size();
  const std::vector<std::vector<int>> after = successors(g);
  std::vector<int> waiting(n, 0);
  for (const std::vector<int>& later : after) {
    for (int i : later) ++waiting[i];
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i) {
    if (waiting[i] == 0) ready.push(static_cast<int>(i));
  }
  std::vector<NodeId> sorted;
  while (!ready.empty()) {
    const int i = ready.top();
    ready.pop();
    sorted.push_back(g.order[i]);
    for (int later : after[i]) {
      if (--waiting[later] == 0) ready.push(later);
    }
  }
  if (sorted.size() != n) {
    return Status(ErrorCode::kInternal, "the graph has a cycle");
  }
  g.order = std::move(sorted);
  return Status();
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/pass/topological.h"

#include <algorithm>
#include <functional>
#include <queue>

namespace rutile::graph {

namespace {

// By value: the value whose memory it is a view of, or itself.
std::vector<ValueId> memory_roots(const Graph& g) {
  std::vector<ValueId> root(g.values.size());
  // Producers are followed because the order may be the one to be mended.
  for (size_t v = 0; v < root.size(); ++v) {
    ValueId at = static_cast<ValueId>(v);
    for (;;) {
      const NodeId p = g.values[at].producer;
      if (p == kNone || !g.nodes[p].op->view_offset) break;
      at = g.nodes[p].inputs[g.nodes[p].op->alias_input(g.values[at].output_index)];
    }
    root[v] = at;
  }
  return root;
}

// True if `to` must come after `from`.
bool reaches(const std::vector<std::vector<int>>& after, int from, int to, std::vector<int>* mark,
             int round) {
  std::vector<int> stack{from};
  while (!stack.empty()) {
    const int i = stack.back();
    stack.pop_back();
    if (i == to) return true;
    if ((*mark)[i] == round) continue;
    (*mark)[i] = round;
    stack.insert(stack.end(), after[i].begin(), after[i].end());
  }
  return false;
}

}  // namespace

std::vector<std::vector<int>> successors(const Graph& g) {
  const std::vector<int> position = g.positions();
  const std::vector<ValueId> root = memory_roots(g);
  const size_t n = g.order.size();
  std::vector<std::vector<int>> after(n);
  auto depend = [&](int later, int earlier) {
    if (later != earlier) after[earlier].push_back(later);
  };
  std::vector<std::vector<int>> readers(g.values.size());  // of the memory of a root
  int last_effect = -1;
  for (size_t i = 0; i < n; ++i) {
    const Node& node = g.nodes[g.order[i]];
    for (ValueId v : node.inputs) {
      if (v == kNone) continue;
      if (!node.op->view_offset) readers[root[v]].push_back(static_cast<int>(i));
      const NodeId producer = g.values[v].producer;
      if (producer != kNone) depend(static_cast<int>(i), position[producer]);
    }
    if (g.has_effects(node)) {
      if (last_effect >= 0) depend(static_cast<int>(i), last_effect);
      last_effect = static_cast<int>(i);
    }
  }
  // A reader of the old value that needs the new one as well cannot come first: the writer works on
  // a copy then.
  std::vector<int> mark(n, 0);
  int round = 0;
  for (size_t i = 0; i < n; ++i) {
    for (ValueId v : written_inputs(g.nodes[g.order[i]])) {
      for (int reader : readers[root[v]]) {
        const int writer = static_cast<int>(i);
        if (reader != writer && !reaches(after, writer, reader, &mark, ++round)) {
          depend(writer, reader);
        }
      }
    }
  }
  return after;
}

std::vector<int> ready_positions(const Graph& g) {
  const std::vector<ValueId> root = memory_roots(g);
  std::vector<int> ready(g.nodes.size(), -1), of_value(g.values.size(), -1);
  std::vector<int> last_read(g.values.size(), -1);  // by root
  for (size_t i = 0; i < g.order.size(); ++i) {
    const NodeId id = g.order[i];
    const Node& n = g.nodes[id];
    int at = static_cast<int>(i);
    if (n.phase == Phase::kOptimizer && !g.has_effects(n)) {
      at = -1;
      for (ValueId v : n.inputs) {
        if (v != kNone) at = std::max(at, of_value[v]);
      }
      for (ValueId v : written_inputs(n)) at = std::max(at, last_read[root[v]]);
    }
    ready[id] = at;
    for (ValueId v : n.outputs) of_value[v] = at;
    for (ValueId v : n.inputs) {
      if (v != kNone) last_read[root[v]] = std::max(last_read[root[v]], at);
    }
  }
  return ready;
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

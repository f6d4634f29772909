// SPDX-License-Identifier: Apache-2.0
// Purpose: control flow computes and keeps what is needed alone. A trace stacks the carries of
// every iteration, for a backward that may never come. Requires: dce has run. Guarantees: results
// of bodies that nobody reads, carries that serve none but themselves, and operands that no body
// reads are gone. Bodies inside bodies are looked at when their own passes run.
#include <algorithm>

#include "rutile/graph/ir/body.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/rewriter.h"
#include "rutile/ops/control.h"

namespace rutile::graph {

namespace {

// By input: whether one of these outputs depends on it.
std::vector<char> read_inputs(const Graph& g, const std::vector<char>& wanted) {
  std::vector<char> live(g.values.size(), 0);
  for (size_t i = 0; i < g.outputs.size(); ++i) {
    if (wanted[i]) live[g.outputs[i]] = 1;
  }
  for (auto it = g.order.rbegin(); it != g.order.rend(); ++it) {
    const Node& n = g.nodes[*it];
    const bool used = must_run(g, n) || std::any_of(n.outputs.begin(), n.outputs.end(),
                                                    [&](ValueId v) { return live[v] != 0; });
    for (ValueId v : n.inputs) {
      if (used && v != kNone) live[v] = 1;
    }
  }
  std::vector<char> read;
  for (ValueId v : g.inputs) read.push_back(live[v]);
  return read;
}

template <class T>
std::vector<T> kept(const std::vector<T>& all, const std::vector<char>& keep) {
  std::vector<T> some;
  for (size_t i = 0; i < all.size(); ++i) {
    if (keep[i]) some.push_back(all[i]);
  }
  return some;
}

Ref<Region> pruned(const Graph& body, const std::vector<char>& inputs,
                   const std::vector<char>& outputs) {
  Graph g = body;
  g.outputs = kept(g.outputs, outputs);
  RUTILE_CHECK(dce(g).ok(), "dce takes every graph");
  // An input that is none any more is still a value; nobody reads it.
  g.inputs = kept(g.inputs, inputs);
  return make_body(std::move(g));
}

bool all_of(const std::vector<char>& keep) {
  return std::all_of(keep.begin(), keep.end(), [](char c) { return c != 0; });
}

struct Pruning {
  Rewriter& rw;
  Graph& g;
  const std::vector<int>& uses;

  std::vector<char> used_results(const Node& n, size_t count) const {
    std::vector<char> used;
    for (size_t i = 0; i < count; ++i) used.push_back(uses[n.outputs[i]] > 0);
    return used;
  }
  // `skip`: operands in front that the bodies do not see, and results behind that they do not give.
  void replace(NodeId id, const void* attrs, size_t skip, const std::vector<char>& inputs,
               const std::vector<char>& outputs) {
    const Node n = rw.resolved(id);
    std::vector<ValueId> in(n.inputs.begin(), n.inputs.begin() + static_cast<int64_t>(skip));
    std::vector<TensorMeta> metas;
    std::vector<ValueId> old;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i]) in.push_back(n.inputs[skip + i]);
    }
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      if (i < outputs.size() && !outputs[i]) continue;
      metas.push_back(g.meta(n.outputs[i]));
      old.push_back(n.outputs[i]);
    }
    const NodeId fresh = rw.insert(*n.op, AnyAttrs(n.op->attrs, attrs), std::move(in), metas, n);
    for (size_t i = 0; i < old.size(); ++i) rw.replace(old[i], g.nodes[fresh].outputs[i]);
  }
  bool cond(NodeId id);
  bool loop(NodeId id);
};

bool Pruning::cond(NodeId id) {
  const Node& n = g.nodes[id];
  auto a = *static_cast<const ops::CondAttrs*>(n.attrs.get());
  const Graph &yes = *body_graph(*a.then_body), &no = *body_graph(*a.else_body);
  const std::vector<char> outputs = used_results(n, n.outputs.size());
  std::vector<char> inputs = read_inputs(yes, outputs), other = read_inputs(no, outputs);
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = inputs[i] || other[i];
  if (all_of(inputs) && all_of(outputs)) return false;
  a = {pruned(yes, inputs, outputs), pruned(no, inputs, outputs)};
  replace(id, &a, 1, inputs, outputs);
  return true;
}

bool Pruning::loop(NodeId id) {
  const Node& n = g.nodes[id];
  auto a = *static_cast<const ops::LoopAttrs*>(n.attrs.get());
  const Graph& body = *body_graph(*a.body);
  const Graph* condition = a.condition ? body_graph(*a.condition) : nullptr;
  std::vector<char> outputs = used_results(n, body.outputs.size());
  std::vector<char> tested(body.inputs.size(), 0), inputs;
  if (condition) tested = read_inputs(*condition, {1});
  // A carry is needed where another that is needed reads it.
  for (bool changed = true; changed;) {
    inputs = read_inputs(body, outputs);
    changed = false;
    for (size_t i = 0; i < inputs.size(); ++i) {
      inputs[i] = inputs[i] || tested[i];
      if (i >= static_cast<size_t>(a.carries)) continue;
      inputs[i] = inputs[i] || outputs[i];
      changed = changed || (inputs[i] && !outputs[i]);
      outputs[i] = inputs[i];
    }
  }
  if (all_of(inputs) && all_of(outputs)) return false;
  const size_t carries = static_cast<size_t>(a.carries), scanned = static_cast<size_t>(a.scanned);
  const auto count = [](const std::vector<char>& keep, size_t from, size_t to) {
    return std::count(keep.begin() + static_cast<int64_t>(from),
                      keep.begin() + static_cast<int64_t>(to), 1);
  };
  a.body = pruned(body, inputs, outputs);
  if (condition) a.condition = pruned(*condition, inputs, {1});
  a.saved = 0;  // nobody differentiates it any more
  a.carries = count(inputs, 0, carries);
  a.scanned = count(inputs, carries, carries + scanned);
  replace(id, &a, a.counted ? 1 : 0, inputs, outputs);
  return true;
}

}  // namespace

Status prune_bodies(Graph& g) {
  const std::vector<int> uses = g.count_uses();
  Rewriter rw(g);
  Pruning pruning{rw, g, uses};
  bool changed = false;
  for (NodeId id : rw.old_order()) {
    const Node& n = g.nodes[id];
    const bool whole = !bodies_of(n).empty() && !g.has_effects(n);
    const bool loop = n.op == &ops::kScan || n.op == &ops::kWhileLoop;
    const bool replaced =
        whole && (loop ? pruning.loop(id) : n.op == &ops::kCond && pruning.cond(id));
    changed = changed || replaced;
    if (!replaced) rw.keep(id);
  }
  rw.finish();
  return changed ? dce(g) : Status();  // what only they read
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/ir/graph.h"

#include <algorithm>

#include "rutile/graph/ir/body.h"
#include "rutile/ops/control.h"

namespace rutile::graph {

const char* phase_name(Phase p) {
  constexpr const char* kNames[] = {"forward", "backward", "optimizer", "frozen"};
  return kNames[static_cast<int>(p)];
}

ValueId Graph::add_input(const TensorMeta& meta, std::string name) {
  Value v;
  v.meta = meta;
  v.kind = ValueKind::kInput;
  v.name = std::move(name);
  values.push_back(std::move(v));
  inputs.push_back(static_cast<ValueId>(values.size()) - 1);
  return inputs.back();
}

ValueId Graph::add_constant(Tensor value) {
  Value v;
  v.meta = value.meta();
  v.kind = ValueKind::kConstant;
  v.constant = std::move(value);
  values.push_back(std::move(v));
  return static_cast<ValueId>(values.size()) - 1;
}

ValueId Graph::add_state(Ref<State> state, const TensorMeta& meta, std::string name) {
  Value v;
  v.meta = meta;
  v.kind = ValueKind::kState;
  v.name = name;
  values.push_back(std::move(v));
  const ValueId id = static_cast<ValueId>(values.size()) - 1;
  states.push_back({std::move(state), std::move(name), id, id});
  return id;
}

NodeId Graph::add_node(const OpDef& op, AnyAttrs attrs, std::vector<ValueId> in,
                       std::span<const TensorMeta> out, std::vector<int32_t> node_origins,
                       Phase phase) {
  const NodeId id = static_cast<NodeId>(nodes.size());
  Node n;
  n.op = &op;
  n.attrs = std::move(attrs);
  n.inputs = std::move(in);
  n.origins = std::move(node_origins);
  n.phase = phase;
  for (size_t i = 0; i < out.size(); ++i) {
    Value v;
    v.meta = out[i];
    v.producer = id;
    v.output_index = static_cast<int>(i);
    values.push_back(std::move(v));
    n.outputs.push_back(static_cast<ValueId>(values.size()) - 1);
  }
  nodes.push_back(std::move(n));
  return id;
}

int32_t Graph::add_origin(Origin origin) {
  // Nodes of one source line come one after the other.
  for (size_t k = 0; k < 8 && k < origins.size(); ++k) {
    const size_t i = origins.size() - 1 - k;
    if (origins[i] == origin) return static_cast<int32_t>(i);
  }
  origins.push_back(std::move(origin));
  return static_cast<int32_t>(origins.size()) - 1;
}

void Graph::replace_uses(ValueId from, ValueId to) {
  std::vector<ValueId> map(values.size());
  for (size_t i = 0; i < map.size(); ++i) map[i] = static_cast<ValueId>(i);
  map[from] = to;
  replace_uses(map);
}

void Graph::replace_uses(const std::vector<ValueId>& map) {
  auto follow = [&](ValueId v) {
    while (v != kNone && static_cast<size_t>(v) < map.size() && map[v] != v) v = map[v];
    return v;
  };
  for (NodeId id : order) {
    for (ValueId& v : nodes[id].inputs) v = follow(v);
  }
  for (ValueId& v : outputs) v = follow(v);
  for (StateSlot& s : states) {
    if (s.out != s.in) s.out = follow(s.out);
  }
}

std::vector<int> Graph::count_uses() const {
  std::vector<int> uses(values.size(), 0);
  for (NodeId id : order) {
    for (ValueId v : nodes[id].inputs) {
      if (v != kNone) ++uses[v];
    }
  }
  for (ValueId v : outputs) ++uses[v];
  for (const StateSlot& s : states) {
    if (s.out != s.in) ++uses[s.out];
  }
  return uses;
}

std::vector<int> Graph::positions() const {
  std::vector<int> pos(nodes.size(), -1);
  for (size_t i = 0; i < order.size(); ++i) pos[order[i]] = static_cast<int>(i);
  return pos;
}

SmallVector<const TensorMeta*, 6> Graph::input_metas(const Node& n) const {
  SmallVector<const TensorMeta*, 6> metas;
  for (ValueId v : n.inputs) metas.push_back(v == kNone ? nullptr : &values[v].meta);
  return metas;
}

CallMeta Graph::call_meta(const Node& n, SmallVector<const TensorMeta*, 6>* in,
                          SmallVector<TensorMeta, 2>* out) const {
  *in = input_metas(n);
  out->clear();
  for (ValueId v : n.outputs) out->push_back(values[v].meta);
  return CallMeta{n.op, n.attrs.get(), *in, *out};
}

Cost cost_of(const Graph& g, const Node& n) {
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  Cost c = cost_of(g.call_meta(n, &in, &out));
  // Of a loop without a known length: of one iteration.
  double times = 1;
  if (n.op == &ops::kScan) {
    times = static_cast<double>(static_cast<const ops::LoopAttrs*>(n.attrs.get())->length);
  }
  for (const BodyOf& b : bodies_of(n)) {
    const Graph& body = *body_graph(*b.region);
    for (NodeId id : body.order) {
      const Cost one = cost_of(body, body.nodes[id]);
      c.flops += times * one.flops;
      c.bytes += times * one.bytes;
    }
  }
  return c;
}

std::vector<ValueId> written_inputs(const Node& n) {
  std::vector<ValueId> written;
  if (n.op->mutate_mask == 0) return written;
  for (size_t o = 0; o < n.outputs.size(); ++o) {
    const int input = n.op->alias_input(static_cast<int>(o));
    const int named = std::min(input, n.op->num_inputs - 1);
    if (input >= 0 && (n.op->mutate_mask >> named & 1u)) written.push_back(n.inputs[input]);
  }
  return written;
}

std::vector<int32_t> merge_origins(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  std::vector<int32_t> r;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(r));
  return r;
}

bool writes_states(const Graph& g) {
  return std::any_of(g.states.begin(), g.states.end(),
                     [](const StateSlot& s) { return s.out != s.in; });
}

}  // namespace rutile::graph

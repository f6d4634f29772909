// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/trace/replay.h"

#include "rutile/graph/ir/body.h"
#include "rutile/ops/call.h"

namespace rutile::graph {

const Origin*& replayed_origin() {
  static thread_local constinit const Origin* origin = nullptr;
  return origin;
}

std::vector<Tensor> replay(const Graph& g, const std::vector<Tensor>& operands) {
  RUTILE_CHECK(operands.size() == g.inputs.size(), "a body gets the operands that it takes");
  std::vector<Tensor> values(g.values.size());
  for (size_t i = 0; i < operands.size(); ++i) values[g.inputs[i]] = operands[i];
  for (size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].kind == ValueKind::kConstant) values[v] = g.values[v].constant;
  }
  CallModes& modes = call_modes();
  ScopedValue<AmpState> as_traced(modes.amp, AmpState{});  // its casts are nodes
  ScopedValue<const CellScope*> cell(modes.cell, nullptr);
  ScopedValue<int32_t> group(modes.clone_group, 0);
  const Origin*& current = replayed_origin();
  ScopedValue<const Origin*> origin(current, nullptr);
  SmallVector<Tensor, 4> in;
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    in.clear();
    for (ValueId v : n.inputs) in.push_back(v == kNone ? Tensor() : values[v]);
    current = n.origins.empty() ? nullptr : &g.origins[n.origins.front()];
    const CellScope scope{current ? std::string_view(current->cell) : "", nullptr};
    modes.cell = scope.name.empty() ? nullptr : &scope;
    modes.clone_group = n.clone_group;
    SmallVector<Tensor, 4> out;
    out.resize(static_cast<int>(n.outputs.size()));
    call(*n.op, n.attrs.get(), in, out);
    for (int i = 0; i < out.size(); ++i) values[n.outputs[i]] = out[i];
  }
  std::vector<Tensor> results;
  for (ValueId v : g.outputs) results.push_back(values[v]);
  return results;
}

Ref<Region> make_body(Graph g) {
  auto shared = make_ref<BodyGraph>(std::move(g));
  auto body = make_ref<Region>(
      [shared](const std::vector<Tensor>& operands) { return replay(shared->graph, operands); });
  for (ValueId v : shared->graph.inputs) body->operands.push_back(shared->graph.meta(v));
  for (ValueId v : shared->graph.outputs) body->results.push_back(shared->graph.meta(v));
  body->graph = std::move(shared);
  return body;
}

}  // namespace rutile::graph

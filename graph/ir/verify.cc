// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/graph/ir/graph.h"
#include "rutile/ops/plan_cache.h"

namespace rutile::graph {

namespace {

Status broken(const Graph& g, NodeId id, std::string what) {
  const Node& n = g.nodes[id];
  return Status(ErrorCode::kInternal,
                cat("verify: node ", id, " (", n.op ? n.op->name : "?", "): ", what));
}

Status check_metas(const Graph& g, NodeId id) {
  const Node& n = g.nodes[id];
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  const CallMeta call = g.call_meta(n, &in, &out);
  SmallVector<TensorMeta, 1> inferred;
  Status s = infer_call(call, &inferred);
  if (!s.ok()) return broken(g, id, cat("infer refuses it: ", s.message()));
  if (inferred.size() != out.size()) {
    return broken(g, id, cat("has ", out.size(), " outputs, infer gives ", inferred.size()));
  }
  for (int i = 0; i < out.size(); ++i) {
    if (!(inferred[i].shape == out[i].shape) || inferred[i].dtype != out[i].dtype) {
      return broken(g, id, cat("output ", i, " is ", out[i], ", infer gives ", inferred[i]));
    }
  }
  return Status();
}

// No reader of a mutated value may come after the node that writes it in place.
Status check_mutations(const Graph& g) {
  std::vector<NodeId> written_by(g.values.size(), kNone);
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    for (ValueId v : n.inputs) {
      if (v != kNone && written_by[v] != kNone) {
        return broken(g, id,
                      cat("reads %", v, " after node ", written_by[v], " wrote it in place"));
      }
    }
    for (ValueId v : written_inputs(n)) written_by[v] = id;
  }
  for (ValueId v : g.outputs) {
    if (written_by[v] != kNone) {
      return broken(g, written_by[v], cat("writes %", v, " in place, which the graph returns"));
    }
  }
  return Status();
}

}  // namespace

Status verify(const Graph& g) {
  std::vector<char> defined(g.values.size(), 0);
  auto in_range = [&](ValueId v) { return v >= 0 && static_cast<size_t>(v) < g.values.size(); };
  for (size_t v = 0; v < g.values.size(); ++v) {
    if (g.values[v].kind != ValueKind::kNode) defined[v] = 1;
  }
  std::vector<char> seen(g.nodes.size(), 0);
  for (NodeId id : g.order) {
    if (id < 0 || static_cast<size_t>(id) >= g.nodes.size()) {
      return Status(ErrorCode::kInternal, cat("verify: order names node ", id));
    }
    if (seen[id]++) return broken(g, id, "stands twice in the order");
    const Node& n = g.nodes[id];
    for (ValueId v : n.inputs) {
      if (v == kNone) continue;
      if (!in_range(v)) return broken(g, id, cat("reads %", v, ", which does not exist"));
      if (!defined[v]) return broken(g, id, cat("reads %", v, " before it is computed"));
    }
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      const ValueId v = n.outputs[i];
      if (!in_range(v)) return broken(g, id, cat("writes %", v, ", which does not exist"));
      if (defined[v]++) return broken(g, id, cat("%", v, " is assigned twice"));
      const Value& value = g.values[v];
      if (value.producer != id || value.output_index != static_cast<int>(i)) {
        return broken(g, id, cat("%", v, " names another producer"));
      }
    }
    if (!std::is_sorted(n.origins.begin(), n.origins.end())) {
      return broken(g, id, "its origins are not ascending");
    }
    RUTILE_RETURN_IF_ERROR(check_metas(g, id));
  }
  for (ValueId v : g.outputs) {
    if (!in_range(v) || !defined[v]) {
      return Status(ErrorCode::kInternal, cat("verify: output %", v, " is not computed"));
    }
  }
  for (const StateSlot& s : g.states) {
    if (!in_range(s.in) || !in_range(s.out) || !defined[s.out]) {
      return Status(ErrorCode::kInternal, cat("verify: state ", s.name, " is not computed"));
    }
    if (!(g.meta(s.in).shape == g.meta(s.out).shape) || g.meta(s.in).dtype != g.meta(s.out).dtype) {
      return Status(ErrorCode::kInternal, cat("verify: state ", s.name, " enters as ", g.meta(s.in),
                                              " and leaves as ", g.meta(s.out)));
    }
  }
  return check_mutations(g);
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>

#include "rutile/graph/ir/body.h"
#include "rutile/graph/ir/graph.h"
#include "rutile/ops/call.h"
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
  ScopedValue<Device> there(call_modes().device, out.empty() ? kCpu : out[0].device);
  Status s = infer_call(call, &inferred);
  if (!s.ok()) return broken(g, id, cat("infer refuses it: ", s.message()));
  if (inferred.size() != out.size()) {
    return broken(g, id, cat("has ", out.size(), " outputs, infer gives ", inferred.size()));
  }
  for (int i = 0; i < out.size(); ++i) {
    if (!(inferred[i].shape == out[i].shape) || inferred[i].dtype != out[i].dtype) {
      return broken(g, id, cat("output ", i, " is ", out[i], ", infer gives ", inferred[i]));
    }
    if (!(inferred[i].device == out[i].device)) {
      return broken(g, id, cat("output ", i, " is ", out[i], ", infer gives ", inferred[i]));
    }
    // What shares memory lies as infer says; other outputs may be placed by the layout pass.
    if (n.op->alias_input(i) >= 0 && !same_placement(inferred[i], out[i])) {
      return broken(g, id,
                    cat("output ", i, " lies as ", out[i], " in the memory of its input, ",
                        "infer gives ", inferred[i]));
    }
  }
  return Status();
}

Status check_states(const Graph& g) {
  std::set<const State*> seen;
  for (const StateSlot& s : g.states) {
    auto wrong = [&](std::string what) {
      return Status(ErrorCode::kInternal, cat("verify: state ", s.name, " ", what));
    };
    if (g.values[s.in].kind != ValueKind::kState) return wrong("does not enter as a state");
    if (s.state && !seen.insert(s.state.get()).second) return wrong("has two slots");
    const TensorMeta &in = g.meta(s.in), &out = g.meta(s.out);
    if (in.layout == kStrided && !in.is_contiguous()) {
      return wrong(cat("is neither row-major nor blocked: ", in));
    }
    if (!(in.shape == out.shape) || in.dtype != out.dtype) {
      return wrong(cat("enters as ", in, " and leaves as ", out));
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
  std::vector<char> seen(g.nodes.size(), 0), fixed(g.values.size(), 0);
  for (size_t v = 0; v < g.values.size(); ++v) {
    const ValueKind kind = g.values[v].kind;
    fixed[v] = kind == ValueKind::kState || kind == ValueKind::kConstant;
  }
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
    const bool known = std::all_of(n.inputs.begin(), n.inputs.end(),
                                   [&](ValueId v) { return v == kNone || fixed[v]; });
    if (n.phase == Phase::kFrozen && !known) return broken(g, id, "is frozen and reads an input");
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      const ValueId v = n.outputs[i];
      if (in_range(v)) fixed[v] = n.phase == Phase::kFrozen || (known && n.op->view_offset);
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
    for (const BodyOf& b : bodies_of(n)) {
      const Graph& body = *body_graph(*b.region);
      if (!body.states.empty()) return broken(g, id, "a body has States of its own");
      if (Status s = verify(body); !s.ok()) return broken(g, id, cat("in a body: ", s.message()));
    }
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
  }
  return check_states(g);
}

bool self_checks() {
#ifndef NDEBUG
  return true;
#else
  const char* v = std::getenv("RUTILE_VERIFY");
  return v && std::strcmp(v, "0") != 0;
#endif
}

}  // namespace rutile::graph

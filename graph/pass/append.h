// SPDX-License-Identifier: Apache-2.0
// Ops called while it lives are appended to the order of a graph, in place of what `like` was: in
// its phase and clone group and on its device, with the origins given.
#pragma once

#include <utility>
#include <vector>

#include "rutile/graph/trace/tracer.h"
#include "rutile/ops/call.h"

namespace rutile::graph {

class AppendScope {
 public:
  AppendScope(Graph& g, const Node& like, std::vector<int32_t> origins)
      : g_(g),
        tracer_(g),
        modes_(call_modes(), recording(g, tracer_, like)),
        phase_(current_phase(), like.phase),
        origins_(std::move(origins)),
        first_(g.nodes.size()) {}
  ~AppendScope() {
    for (size_t k = first_; k < g_.nodes.size(); ++k) g_.nodes[k].origins = origins_;
  }
  AppendScope(const AppendScope&) = delete;
  AppendScope& operator=(const AppendScope&) = delete;

  // Undefined for an absent operand.
  Tensor symbol(ValueId v) { return v == kNone ? Tensor() : tracer_.symbol(v); }
  ValueId value_of(const Tensor& t) { return tracer_.value_of(t); }

 private:
  static CallModes recording(const Graph& g, Tracer& tracer, const Node& like) {
    CallModes modes;
    modes.trace = &tracer;
    modes.states = &tracer;
    modes.clone_group = like.clone_group;
    if (!like.outputs.empty()) modes.device = g.meta(like.outputs.front()).device;
    return modes;
  }

  Graph& g_;
  Tracer tracer_;
  ScopedValue<CallModes> modes_;
  ScopedValue<Phase> phase_;
  const std::vector<int32_t> origins_;
  const size_t first_;
};

}  // namespace rutile::graph

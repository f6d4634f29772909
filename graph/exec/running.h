// SPDX-License-Identifier: Apache-2.0
// A step as the op that a thread queues on a device (core/running_op.h).
#pragma once

#include "rutile/core/running_op.h"
#include "rutile/graph/exec/program.h"
#include "rutile/graph/ir/text.h"

namespace rutile::graph {

inline RunningOp running_step(const Graph& g, const Step& s) {
  if (s.node == kNone) return {"a copy", nullptr, nullptr, nullptr};
  const auto place = [](const void* node, const void* graph) {
    return origin_text(*static_cast<const Graph*>(graph), *static_cast<const Node*>(node));
  };
  const Node& n = g.nodes[s.node];
  return {n.op->name, place, &n, &g};
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Bodies of control flow: a Region whose ops are a graph. It takes operands as inputs, has no
// States of its own (they are operands and results) and shares nothing with the graph around it.
#pragma once

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

class BodyGraph final : public RefCounted {
 public:
  explicit BodyGraph(Graph g) : graph(std::move(g)) {}
  const Graph graph;
};

// A Region of this graph: calling its function calls the ops of the graph.
RUTILE_API Ref<Region> make_body(Graph g);
// Null for a region that is no graph.
RUTILE_API const Graph* body_graph(const Region& region);

struct BodyOf {
  int field = 0;  // of the attributes
  Ref<Region> region;
};
// The bodies among a node's attributes that are there; none for most ops.
RUTILE_API std::vector<BodyOf> bodies_of(const Node& n);
// Effects and value checks of a node, its bodies included.
bool checks_values(const Node& n);
// A node that stays where nobody reads its results: one with effects, or a check of values in the
// forward phase, so that what raises eagerly raises compiled.
bool must_run(const Graph& g, const Node& n);

}  // namespace rutile::graph

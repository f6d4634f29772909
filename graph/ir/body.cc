// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/ir/body.h"

#include <algorithm>

namespace rutile::graph {

const Graph* body_graph(const Region& region) {
  const auto* body = dynamic_cast<const BodyGraph*>(region.graph.get());
  return body ? &body->graph : nullptr;
}

std::vector<BodyOf> bodies_of(const Node& n) {
  std::vector<BodyOf> bodies;
  if (!n.op->runs_bodies) return bodies;
  for (int i = 0; i < n.op->attrs->num_fields; ++i) {
    const AttrValue v = n.op->attrs->get(n.attrs.get(), i);
    const auto* region = std::get_if<Ref<Region>>(&v);
    if (region && *region && body_graph(**region)) bodies.push_back({i, *region});
  }
  return bodies;
}

namespace {

template <class Predicate>
bool any_node(const Node& n, Predicate&& p) {
  if (p(n)) return true;
  for (const BodyOf& b : bodies_of(n)) {
    const Graph& g = *body_graph(*b.region);
    if (std::any_of(g.order.begin(), g.order.end(),
                    [&](NodeId id) { return any_node(g.nodes[id], p); })) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool checks_values(const Node& n) {
  return any_node(n, [](const Node& m) { return m.op->checks_values; });
}

bool must_run(const Graph& g, const Node& n) {
  return g.has_effects(n) || (n.phase == Phase::kForward && checks_values(n));
}

bool Graph::has_effects(const Node& n) const {
  return any_node(n, [](const Node& m) { return m.op->effects != kPure; });
}

}  // namespace rutile::graph

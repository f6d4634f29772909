// SPDX-License-Identifier: Apache-2.0
// Purpose: common subexpression elimination: equal ops on equal inputs run once. Requires: nothing.
// Guarantees: no two pure nodes of one clone group compute the same; origins are merged.
// Random ops take their key as an input, so equal nodes draw equal numbers and may merge.
#include <unordered_map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/rewriter.h"
#include "rutile/ops/attrs.h"

namespace rutile::graph {

namespace {

uint64_t hash_node(const Node& n) {
  uint64_t h = reinterpret_cast<uint64_t>(n.op) + static_cast<uint64_t>(n.clone_group);
  for (ValueId v : n.inputs) h = detail::mix_hash(h, static_cast<uint64_t>(v));
  if (n.op->attrs) h = detail::mix_hash(h, n.op->attrs->hash(n.attrs.get()));
  return h;
}

bool same(const Node& a, const Node& b) {
  return a.op == b.op && a.clone_group == b.clone_group && a.inputs == b.inputs &&
         (!a.op->attrs || a.op->attrs->equal(a.attrs.get(), b.attrs.get()));
}

}  // namespace

Status cse(Graph& g) {
  Rewriter rw(g);
  std::unordered_multimap<uint64_t, NodeId> seen;
  for (NodeId id : rw.old_order()) {
    Node& n = rw.resolved(id);
    if (g.has_effects(n) || n.op->mutate_mask) {
      rw.keep(id);
      continue;
    }
    const uint64_t h = hash_node(n);
    NodeId twin = kNone;
    auto [begin, end] = seen.equal_range(h);
    for (auto it = begin; it != end && twin == kNone; ++it) {
      if (same(g.nodes[it->second], n)) twin = it->second;
    }
    if (twin == kNone) {
      seen.emplace(h, id);
      rw.keep(id);
      continue;
    }
    g.nodes[twin].origins = merge_origins(g.nodes[twin].origins, n.origins);
    for (size_t i = 0; i < n.outputs.size(); ++i) {
      rw.replace(n.outputs[i], g.nodes[twin].outputs[i]);
    }
  }
  rw.finish();
  return Status();
}

}  // namespace rutile::graph

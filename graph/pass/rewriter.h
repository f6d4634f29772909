// SPDX-License-Identifier: Apache-2.0
// Shared by passes that rebuild the order node by node: insertions go before the node at hand, and
// replaced values are renamed in everything that follows.
#pragma once

#include <vector>

#include "rutile/graph/pass/uses.h"

namespace rutile::graph {

class Rewriter {
 public:
  explicit Rewriter(Graph& g) : g_(g), old_(std::move(g.order)) { g_.order.clear(); }
  const std::vector<NodeId>& old_order() const { return old_; }

  // What `v` is called now.
  ValueId resolve(ValueId v) const { return renames_.resolve(v); }
  // Renames the inputs of a node that is about to be kept.
  Node& resolved(NodeId id) {
    for (ValueId& v : g_.nodes[id].inputs) v = resolve(v);
    return g_.nodes[id];
  }
  void keep(NodeId id) {
    resolved(id);
    g_.order.push_back(id);
  }
  void replace(ValueId from, ValueId to) { renames_.put(from, to); }
  // Adds a node now; its origins and phase are those of `like`.
  NodeId insert(const OpDef& op, AnyAttrs attrs, std::vector<ValueId> in,
                std::span<const TensorMeta> out, const Node& like) {
    const std::vector<int32_t> origins = like.origins;  // add_node may move the nodes
    const int32_t group = like.clone_group;
    const NodeId id = g_.add_node(op, std::move(attrs), std::move(in), out, origins, like.phase);
    g_.nodes[id].clone_group = group;
    g_.order.push_back(id);
    return id;
  }
  // Call when the last node is kept: outputs and states get their new names.
  void finish() { g_.replace_uses(renames_.map()); }

 private:
  Graph& g_;
  std::vector<NodeId> old_;
  Renames renames_;
};

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Shared by passes: who reads a value, and what values are called from now on.
#pragma once

#include <vector>

#include "rutile/graph/ir/graph.h"

namespace rutile::graph {

// By value: the nodes that read it, in order, once for each operand; kNone where it leaves the
// graph as an output or a State.
std::vector<std::vector<NodeId>> readers_of(const Graph& g);
// By value: the node that alone reads it; kNone if there are several, or if it leaves the graph.
std::vector<NodeId> only_readers(const Graph& g);

// New names of values, for Graph::replace_uses; chains are followed. Values may be added meanwhile.
class Renames {
 public:
  void put(ValueId from, ValueId to) {
    while (map_.size() <= static_cast<size_t>(from)) {
      map_.push_back(static_cast<ValueId>(map_.size()));
    }
    map_[from] = to;
  }
  // What `v` is called now.
  ValueId resolve(ValueId v) const {
    while (v != kNone && static_cast<size_t>(v) < map_.size() && map_[v] != v) v = map_[v];
    return v;
  }
  const std::vector<ValueId>& map() const { return map_; }

 private:
  std::vector<ValueId> map_;
};

}  // namespace rutile::graph

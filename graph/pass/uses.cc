// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/pass/uses.h"

namespace rutile::graph {

std::vector<std::vector<NodeId>> readers_of(const Graph& g) {
  std::vector<std::vector<NodeId>> readers(g.values.size());
  for (NodeId id : g.order) {
    for (ValueId v : g.nodes[id].inputs) {
      if (v != kNone) readers[v].push_back(id);
    }
  }
  for (ValueId v : g.outputs) readers[v].push_back(kNone);
  for (const StateSlot& s : g.states) readers[s.out].push_back(kNone);
  return readers;
}

std::vector<NodeId> only_readers(const Graph& g) {
  std::vector<NodeId> only;
  for (const std::vector<NodeId>& readers : readers_of(g)) {
    only.push_back(readers.size() == 1 ? readers[0] : kNone);
  }
  return only;
}

}  // namespace rutile::graph

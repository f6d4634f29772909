// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/pass/inference.h"

#include <algorithm>

namespace rutile::graph {

std::vector<char> fixed_values(const Graph& g) {
  std::vector<char> fixed(g.values.size(), 0);
  for (size_t v = 0; v < fixed.size(); ++v) {
    const ValueKind kind = g.values[v].kind;
    fixed[v] = kind == ValueKind::kState || kind == ValueKind::kConstant;
  }
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    const bool known = std::all_of(n.inputs.begin(), n.inputs.end(),
                                   [&](ValueId v) { return v == kNone || fixed[v]; });
    if (!known || g.has_effects(n) || n.op->mutate_mask != 0) continue;
    for (ValueId v : n.outputs) fixed[v] = 1;
  }
  return fixed;
}

std::vector<NodeId> only_readers(const Graph& g) {
  std::vector<NodeId> reader(g.values.size(), kNone);
  std::vector<int> uses(g.values.size(), 0);
  for (NodeId id : g.order) {
    for (ValueId v : g.nodes[id].inputs) {
      if (v == kNone) continue;
      reader[v] = id;
      ++uses[v];
    }
  }
  for (ValueId v : g.outputs) ++uses[v], reader[v] = kNone;
  for (const StateSlot& s : g.states) ++uses[s.out];
  for (size_t v = 0; v < reader.size(); ++v) {
    if (uses[v] != 1) reader[v] = kNone;
  }
  return reader;
}

const char* fast_row(const CallMeta& call) {
  for (const KernelRow& row : kernel_rows(*call.op, DeviceType::kCpu)) {
    Reason reason;
    if (!row.reference && (!row.supports || row.supports(call, &reason))) return row.name;
  }
  return nullptr;
}

}  // namespace rutile::graph

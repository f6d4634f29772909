// SPDX-License-Identifier: Apache-2.0
// Purpose: mixed precision casts a weight, then reorders it for each of its convolutions; the cast
// goes into the reorders, which read the weight once more but write nothing in between. Requires:
// layout has run. Guarantees: only casts whose every reader is a reorder with a fast kernel for
// both at once are gone (dce takes them).
#include "rutile/graph/pass/pass.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

ops::ReorderAttrs converting(const Graph& g, const Node& reorder) {
  auto attrs = *static_cast<const ops::ReorderAttrs*>(reorder.attrs.get());
  attrs.dtype = g.meta(reorder.outputs[0]).dtype;
  return attrs;
}

bool converts_fast(const Graph& g, const Node& cast, const Node& reorder) {
  const ops::ReorderAttrs attrs = converting(g, reorder);
  const TensorMeta *in = &g.meta(cast.inputs[0]), *in_list[] = {in};
  TensorMeta out = g.meta(reorder.outputs[0]);
  return has_fast_kernel(CallMeta{&ops::kReorder, &attrs, in_list, {&out, 1}}, out.device.type);
}

}  // namespace

Status fold_casts(Graph& g) {
  const std::vector<int> uses = g.count_uses();
  std::vector<std::vector<NodeId>> reorders(g.values.size());
  for (NodeId id : g.order) {
    if (g.nodes[id].op == &ops::kReorder) reorders[g.nodes[id].inputs[0]].push_back(id);
  }
  for (NodeId id : g.order) {
    const Node& cast = g.nodes[id];
    if (cast.op != &ops::kCast) continue;
    const std::vector<NodeId>& readers = reorders[cast.outputs[0]];
    if (readers.empty() || static_cast<int>(readers.size()) != uses[cast.outputs[0]]) continue;
    bool all = true;
    for (NodeId r : readers) all = all && converts_fast(g, cast, g.nodes[r]);
    if (!all) continue;
    for (NodeId r : readers) {
      Node& n = g.nodes[r];
      const ops::ReorderAttrs attrs = converting(g, n);
      n.attrs = AnyAttrs(ops::kReorder.attrs, &attrs);
      n.inputs[0] = cast.inputs[0];
      n.origins = merge_origins(n.origins, cast.origins);
    }
  }
  return Status();
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/plan/joins.h"

#include <algorithm>
#include <set>

#include "rutile/core/placement.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

constexpr int64_t kAlign = 64;  // of results in the arena: kernels may count on it
// Nodes from the first part on: the memory of all parts is taken there.
constexpr int kMostApart = 64;

int axis_of(const Graph& g, const Node& concat) {
  const int64_t axis = static_cast<const ops::ConcatAttrs*>(concat.attrs.get())->axis;
  return static_cast<int>(axis < 0 ? axis + g.meta(concat.outputs[0]).rank() : axis);
}

// A result that a kernel of its own writes to memory of its own.
bool is_result(const Graph& g, ValueId v) {
  const Value& value = g.values[v];
  if (value.kind != ValueKind::kNode) return false;
  const Node& n = g.nodes[value.producer];
  return !n.op->view_offset && !n.op->runs_bodies && n.phase != Phase::kFrozen &&
         n.op->alias_input(value.output_index) < 0 && value.meta.layout == kStrided;
}

bool lies_as(const TensorMeta& m, const Strides& strides) {
  TensorMeta wanted = m;
  wanted.strides = strides;
  return m.layout == kStrided && same_placement(m, wanted);
}

}  // namespace

Slice slice_of(const Graph& g, const Node& concat, size_t i) {
  const TensorMeta& whole = g.meta(concat.outputs[0]);
  const int axis = axis_of(g, concat);
  Slice s;
  s.strides = contiguous_strides(whole.shape);
  for (size_t k = 0; k < i; ++k) s.offset += g.meta(concat.inputs[k]).dim(axis) * s.strides[axis];
  return s;
}

std::vector<Inside> find_joins(const Graph& g, std::span<const NodeId> order,
                               const std::vector<ValueId>& root, const std::vector<char>& pinned) {
  std::vector<Inside> inside(g.values.size());
  // By value: a view that begins behind the front of its memory; the position of the node in this
  // order that made it.
  std::vector<char> moved(g.values.size(), 0);
  std::vector<int> made(g.values.size(), kNone);
  std::set<ValueId> wholes;
  for (int position = 0; position < static_cast<int>(order.size()); ++position) {
    const Node& n = g.nodes[order[static_cast<size_t>(position)]];
    if (n.op->view_offset) {
      SmallVector<const TensorMeta*, 6> in;
      SmallVector<TensorMeta, 2> out;
      const CallMeta call = g.call_meta(n, &in, &out);
      for (size_t i = 0; i < n.outputs.size(); ++i) {
        const int at = static_cast<int>(i);
        moved[n.outputs[i]] =
            moved[n.inputs[n.op->alias_input(at)]] || n.op->view_offset(call, at) != 0;
      }
      continue;
    }
    for (const ValueId v : n.outputs) made[v] = position;
    if (n.op != &ops::kConcat || n.inputs.size() < 2) continue;
    const ValueId whole = n.outputs[0];
    const TensorMeta& meta = g.meta(whole);
    if (!meta.is_contiguous() || meta.numel() == 0) continue;
    const int64_t size = static_cast<int64_t>(dtype_size(meta.dtype));
    std::set<ValueId> parts;
    bool joins = true;
    for (size_t i = 0; joins && i < n.inputs.size(); ++i) {
      const ValueId v = n.inputs[i], r = v == kNone ? kNone : root[v];
      joins = r != kNone && made[r] != kNone && position - made[r] <= kMostApart && !moved[v] &&
              !pinned[r] && inside[r].whole == kNone && !wholes.count(r) && is_result(g, r) &&
              parts.insert(r).second;
      if (!joins) break;
      const TensorMeta &part = g.meta(v), &own = g.meta(r);
      const Slice s = slice_of(g, n, i);
      joins = part.dtype == meta.dtype && own.dtype == meta.dtype && own.numel() > 0 &&
              part.numel() == own.numel() && part.nbytes() == own.nbytes() &&
              begins_aligned(s, meta.dtype) && lies_as(part, s.strides);
    }
    if (!joins) continue;
    wholes.insert(whole);
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      inside[root[n.inputs[i]]] = {whole, slice_of(g, n, i).offset * size};
    }
  }
  return inside;
}

bool begins_aligned(const Slice& s, DType t) {
  return s.offset * static_cast<int64_t>(dtype_size(t)) % kAlign == 0;
}

std::vector<NodeId> joined_nodes(const Graph& g) {
  std::vector<ValueId> root(g.values.size());
  for (size_t v = 0; v < root.size(); ++v) root[v] = static_cast<ValueId>(v);
  for (const NodeId id : g.order) {
    const Node& n = g.nodes[id];
    for (size_t i = 0; n.op->view_offset && i < n.outputs.size(); ++i) {
      root[n.outputs[i]] = root[n.inputs[n.op->alias_input(static_cast<int>(i))]];
    }
  }
  std::vector<char> pinned(g.values.size(), 0);
  for (const ValueId v : g.outputs) pinned[root[v]] = 1;
  for (const StateSlot& s : g.states) pinned[root[s.out]] = 1;
  const std::vector<Inside> inside = find_joins(g, g.order, root, pinned);
  std::vector<NodeId> found;
  for (const NodeId id : g.order) {
    const Node& n = g.nodes[id];
    if (n.op == &ops::kConcat && inside[root[n.inputs[0]]].whole == n.outputs[0]) {
      found.push_back(id);
    }
  }
  return found;
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Purpose: convolutions, norms, pools and the elementwise ops between them run in the layouts that
// their kernels like best (oneDNN's blocked ones), forward and backward, with as few reorders as a
// walk in program order gives. Requires: expand_composites has run. Guarantees: outputs and states
// of the graph are row-major or as traced; every node left with a blocked operand has a fast kernel
// for it. A reordered value is reused by all later readers. States live where their update leaves
// them, and where all readers want them: a first walk on a copy of the graph finds that out.
#include <map>
#include <utility>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/rewriter.h"
#include "rutile/ops/call.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

class LayoutPass {
 public:
  explicit LayoutPass(Graph& g) : g_(g), rw_(g) {}
  Status walk();
  Status finish();

 private:
  using PlacementKey = std::pair<ValueId, std::pair<Layout, bool>>;
  // Strided values of any order pass for row-major ones unless `exact`.
  Status place_value(ValueId v, const Placement& p, const Node& like, ValueId* placed,
                     bool exact = false);
  Status by_preference(NodeId id, bool* done);
  bool find_leader(const Node& n, Placement* p, Shape* shape) const;
  Status follow_inputs(NodeId id, bool* done);
  Status row_major(NodeId id);
  Status infer_outputs(NodeId id);
  // The node whose origins a reorder of `v` gets.
  Node made_by(ValueId v) const {
    const NodeId id = g_.values[v].producer;
    return id == kNone ? Node() : g_.nodes[id];
  }

  Graph& g_;
  Rewriter rw_;
  std::map<PlacementKey, ValueId> placed_;
};

Status LayoutPass::place_value(ValueId v, const Placement& p, const Node& like, ValueId* placed,
                               bool exact) {
  const TensorMeta meta = g_.meta(v);
  const bool ordered = exact && !p.channels_last ? meta.is_contiguous() : meta.is_dense();
  if (placement_of(meta) == p && (p.layout != kStrided || ordered)) {
    *placed = v;
    return Status();
  }
  TensorMeta out;
  RUTILE_RETURN_IF_ERROR(place(meta.shape, meta.dtype, meta.device, p, &out));
  if (p.channels_last && same_placement(meta, out)) {  // as weights of 1x1 lie either way
    *placed = v;
    return Status();
  }
  auto [it, fresh] = placed_.emplace(PlacementKey{v, {p.layout, p.channels_last}}, kNone);
  if (fresh) {
    const ops::ReorderAttrs attrs{p};
    const NodeId id =
        rw_.insert(ops::kReorder, AnyAttrs(ops::kReorder.attrs, &attrs), {v}, {&out, 1}, like);
    it->second = g_.nodes[id].outputs[0];
    placed_[{it->second, {placement_of(meta).layout, placement_of(meta).channels_last}}] = v;
  }
  *placed = it->second;
  return Status();
}

// A kernel row that states what it likes: the first fast one decides.
Status LayoutPass::by_preference(NodeId id, bool* done) {
  const std::vector<ValueId>& results = g_.nodes[id].outputs;
  if (results.empty()) return Status();
  for (const KernelRow& row : kernel_rows(*g_.nodes[id].op, g_.meta(results.front()).device.type)) {
    if (!row.prefer || row.reference) continue;
    SmallVector<const TensorMeta*, 6> in;
    SmallVector<TensorMeta, 2> out;
    LayoutPrefs prefs;
    if (!row.prefer(g_.call_meta(g_.nodes[id], &in, &out), &prefs).ok()) continue;
    const Node like = g_.nodes[id];
    std::vector<ValueId> inputs = like.inputs;
    for (int i = 0; i < prefs.in.size() && i < static_cast<int>(inputs.size()); ++i) {
      if (inputs[i] == kNone) continue;
      RUTILE_RETURN_IF_ERROR(place_value(inputs[i], prefs.in[i], like, &inputs[i]));
    }
    g_.nodes[id].inputs = std::move(inputs);
    for (int i = 0; i < prefs.out.size() && i < static_cast<int>(like.outputs.size()); ++i) {
      TensorMeta& m = g_.values[like.outputs[i]].meta;
      RUTILE_RETURN_IF_ERROR(place(m.shape, m.dtype, m.device, prefs.out[i], &m));
    }
    *done = true;
    return Status();
  }
  return Status();
}

// What an op without a preference follows: its largest blocked input; without one a channels-last
// input, if another of its shape is not.
bool LayoutPass::find_leader(const Node& n, Placement* p, Shape* shape) const {
  for (ValueId v : n.inputs) {
    if (v == kNone || g_.meta(v).layout == kStrided) continue;
    if (p->layout != kStrided && g_.meta(v).numel() <= shape->numel()) continue;
    p->layout = g_.meta(v).layout;
    *shape = g_.meta(v).shape;
  }
  if (p->layout != kStrided) return true;
  for (ValueId v : n.inputs) {
    if (v == kNone || !g_.meta(v).is_channels_last()) continue;
    *p = placement_of(g_.meta(v));
    *shape = g_.meta(v).shape;
    return std::any_of(n.inputs.begin(), n.inputs.end(), [&](ValueId w) {
      return w != kNone && g_.meta(w).shape == *shape && !g_.meta(w).is_channels_last();
    });
  }
  return false;
}

// If it has a fast kernel there. What an elementwise op broadcasts to it lies row-major.
Status LayoutPass::follow_inputs(NodeId id, bool* done) {
  const Node like = g_.nodes[id];
  Placement p;
  Shape shape;
  if (like.op->view_offset || !find_leader(like, &p, &shape)) return Status();
  std::vector<TensorMeta> metas;
  SmallVector<const TensorMeta*, 6> pointers;
  metas.reserve(like.inputs.size());
  for (ValueId v : like.inputs) {
    metas.push_back(v == kNone ? TensorMeta() : g_.meta(v));
    TensorMeta& m = metas.back();
    const bool broadcast = like.op->elementwise && m.layout != kStrided && !(m.shape == shape);
    if (v != kNone && (m.shape == shape || broadcast)) {
      const Placement to = broadcast ? Placement() : p;
      RUTILE_RETURN_IF_ERROR(place(m.shape, m.dtype, m.device, to, &m));
    }
    pointers.push_back(v == kNone ? nullptr : &m);
  }
  CallMeta call{like.op, like.attrs.get(), pointers, {}};
  SmallVector<TensorMeta, 1> outputs;
  if (!infer_call(call, &outputs).ok()) return Status();
  call.outputs = outputs;
  if (!has_fast_kernel(call, call_device(pointers).type)) return Status();
  std::vector<ValueId> inputs = like.inputs;
  for (ValueId& v : inputs) {
    if (v == kNone) continue;
    if (g_.meta(v).shape == shape) {
      RUTILE_RETURN_IF_ERROR(place_value(v, p, like, &v));
    } else if (like.op->elementwise && g_.meta(v).layout != kStrided) {
      RUTILE_RETURN_IF_ERROR(place_value(v, Placement(), like, &v));
    }
  }
  g_.nodes[id].inputs = std::move(inputs);
  for (size_t i = 0; i < like.outputs.size(); ++i) {
    g_.values[like.outputs[i]].meta = outputs[static_cast<int>(i)];
  }
  *done = true;
  return Status();
}

Status LayoutPass::row_major(NodeId id) {
  const Node like = g_.nodes[id];
  std::vector<ValueId> inputs = like.inputs;
  for (ValueId& v : inputs) {
    if (v == kNone || g_.meta(v).layout == kStrided) continue;
    RUTILE_RETURN_IF_ERROR(place_value(v, Placement(), like, &v));
  }
  g_.nodes[id].inputs = inputs;
  Status s = infer_outputs(id);
  if (s.ok() || s.code() != ErrorCode::kUnsupported) return s;
  // A view of memory that has none as placed.
  for (ValueId& v : inputs) {
    if (v != kNone) RUTILE_RETURN_IF_ERROR(place_value(v, Placement(), like, &v, true));
  }
  g_.nodes[id].inputs = std::move(inputs);
  return infer_outputs(id);
}

Status LayoutPass::infer_outputs(NodeId id) {
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  const CallMeta call = g_.call_meta(g_.nodes[id], &in, &out);
  if (out.empty()) return Status();
  SmallVector<TensorMeta, 1> inferred;
  ScopedValue<Device> there(call_modes().device, out[0].device);
  RUTILE_RETURN_IF_ERROR(
      infer_placed(*call.op, call.attrs, call.inputs, call_modes().reference_kernels, &inferred));
  for (int i = 0; i < inferred.size(); ++i) {
    g_.values[g_.nodes[id].outputs[i]].meta = inferred[i];
  }
  return Status();
}

Status LayoutPass::walk() {
  for (NodeId id : rw_.old_order()) {
    rw_.resolved(id);
    bool done = false;
    RUTILE_RETURN_IF_ERROR(by_preference(id, &done));
    if (!done) RUTILE_RETURN_IF_ERROR(follow_inputs(id, &done));
    if (!done) RUTILE_RETURN_IF_ERROR(row_major(id));
    g_.order.push_back(id);
  }
  rw_.finish();
  return Status();
}

Status LayoutPass::finish() {
  for (ValueId& v : g_.outputs) {
    if (g_.meta(v).layout == kStrided) continue;
    RUTILE_RETURN_IF_ERROR(place_value(v, Placement(), made_by(v), &v));
  }
  for (StateSlot& s : g_.states) {
    if (s.out == s.in) continue;
    const Placement p = placement_of(g_.meta(s.in));
    if (p.layout == kStrided && g_.meta(s.out).layout == kStrided) continue;
    RUTILE_RETURN_IF_ERROR(place_value(s.out, p, made_by(s.out), &s.out));
  }
  return Status();
}

// By state slot: the placement of its new value, or if it keeps its value the blocked one that all
// its readers want.
std::vector<Placement> resident_placements(const Graph& g) {
  const bool packs = pipeline_for(g) == Pipeline::kTraining;  // otherwise `freeze` packs copies
  std::vector<Placement> result(g.states.size());
  std::vector<int> uses = g.count_uses(), reorders(g.values.size(), 0);
  std::vector<Placement> wanted(g.values.size());
  for (NodeId id : g.order) {
    const Node& n = g.nodes[id];
    if (n.op != &ops::kReorder) continue;
    if (reorders[n.inputs[0]]++ == 0) wanted[n.inputs[0]] = placement_of(g.meta(n.outputs[0]));
  }
  for (size_t i = 0; i < g.states.size(); ++i) {
    const StateSlot& s = g.states[i];
    Placement p;
    if (s.out != s.in) {
      p = placement_of(g.meta(s.out));
    } else if (packs && reorders[s.in] > 0 && reorders[s.in] == uses[s.in]) {
      p = wanted[s.in];
    }
    if (p.layout != kStrided) result[i] = p;
  }
  return result;
}

}  // namespace

Status layout(Graph& g) {
  Graph trial = g;
  RUTILE_RETURN_IF_ERROR(LayoutPass(trial).walk());
  const std::vector<Placement> resident = resident_placements(trial);
  for (size_t i = 0; i < g.states.size(); ++i) {
    TensorMeta& m = g.values[g.states[i].in].meta;
    if (resident[i].layout == kStrided) continue;
    RUTILE_RETURN_IF_ERROR(place(m.shape, m.dtype, m.device, resident[i], &m));
  }
  LayoutPass pass(g);
  RUTILE_RETURN_IF_ERROR(pass.walk());
  return pass.finish();
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Purpose: a convolution or linear layer takes the residual added to its result and the activation
// behind it into its own kernel. Requires: nothing. Guarantees: the kernel that runs the fused op
// is the one that would have run the layer alone; where that one takes no post-ops, nothing
// changes. In training no activation is taken whose post-op turns NaN into a number (ReLU, ReLU6):
// a network that diverged must show it.
#include <cstring>
#include <optional>
#include <unordered_map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/post_ops.h"

namespace rutile::graph {

namespace {

using ops::Activation;

bool hides_nan(Activation a) { return a == Activation::kRelu || a == Activation::kRelu6; }

std::optional<Activation> activation(const Node& n) {
  if (n.op == &ops::kGelu) {
    const auto& a = *static_cast<const ops::GeluAttrs*>(n.attrs.get());
    return a.approximate == ops::GeluApproximate::kTanh ? Activation::kGeluTanh : Activation::kGelu;
  }
  const std::pair<const OpDef*, Activation> known[] = {
      {&ops::kRelu, Activation::kRelu},       {&ops::kRelu6, Activation::kRelu6},
      {&ops::kSigmoid, Activation::kSigmoid}, {&ops::kSilu, Activation::kSilu},
      {&ops::kHswish, Activation::kHswish},   {&ops::kTanh, Activation::kTanh}};
  for (const auto& [op, act] : known) {
    if (n.op == op) return act;
  }
  return std::nullopt;
}

class PostOpFusion {
 public:
  explicit PostOpFusion(Graph& g)
      : g_(g),
        trains_(pipeline_for(g) == Pipeline::kTraining),
        reader_(only_readers(g)),
        gone_(g.nodes.size(), 0) {}

  void run() {
    const std::vector<NodeId> old = std::move(g_.order);
    for (NodeId id : old) fuse(id);
    g_.order.clear();
    for (NodeId id : old) {
      auto it = placed_at_.find(id);
      if (it != placed_at_.end()) {
        g_.order.push_back(it->second);
      } else if (!gone_[id]) {
        g_.order.push_back(id);
      }
    }
    g_.replace_uses(renames_.map());
  }

 private:
  struct Chain {
    NodeId add = kNone, act = kNone;
    ValueId residual = kNone;
    Activation kind = Activation::kNone;
  };

  // The node behind v that nothing else needs.
  NodeId next(ValueId v, const Node& layer) const {
    const NodeId id = reader_[v];
    if (id == kNone || gone_[id] || placed_at_.count(id)) return kNone;
    const Node& n = g_.nodes[id];
    const TensorMeta &in = g_.meta(v), &out = g_.meta(n.outputs[0]);
    const bool same = in.shape == out.shape && in.dtype == out.dtype && n.phase == layer.phase &&
                      n.clone_group == layer.clone_group;
    return same ? id : kNone;
  }

  Chain chain_behind(const Node& layer, bool with_residual) const {
    Chain c;
    ValueId v = layer.outputs[0];
    NodeId id = next(v, layer);
    if (with_residual && id != kNone && g_.nodes[id].op == &ops::kAdd) {
      const std::vector<ValueId>& in = g_.nodes[id].inputs;
      const ValueId other = in[0] == v ? in[1] : in[0];
      const TensorMeta &a = g_.meta(v), &b = g_.meta(other);
      if (a.shape == b.shape && a.dtype == b.dtype) {
        c.add = id;
        c.residual = other;
        v = g_.nodes[id].outputs[0];
        id = next(v, layer);
      }
    }
    if (id == kNone) return c;
    const auto kind = activation(g_.nodes[id]);
    if (kind && !(trains_ && hides_nan(*kind))) {
      c.act = id;
      c.kind = *kind;
    }
    return c;
  }

  void fuse(NodeId id) {
    const Node layer = g_.nodes[id];
    const bool conv = layer.op == &ops::kConv2d || layer.op == &ops::kConv2dAct;
    if (!conv && layer.op != &ops::kLinear && layer.op != &ops::kLinearAct) return;
    if (gone_[id] || !plain(layer)) return;
    Chain refused;
    for (const bool with_residual : {true, false}) {
      const Chain c = chain_behind(layer, with_residual);
      if (c.add == kNone && c.act == kNone) continue;
      if (with_residual) refused = c;
      const OpDef& op = conv ? ops::kConv2dAct : ops::kLinearAct;
      const AnyAttrs attrs = conv ? conv_attrs(layer, c.kind) : linear_attrs(c.kind);
      std::vector<ValueId> in = layer.inputs;
      in.resize(3, kNone);
      if (c.residual != kNone) in.push_back(c.residual);
      const NodeId last = c.act != kNone ? c.act : c.add;
      if (!same_kernel(layer, op, attrs, in, g_.meta(g_.nodes[last].outputs[0]))) continue;
      remark_done(g_, {id, c.add, c.act});
      replace(id, c, last, op, attrs, std::move(in));
      return;
    }
    if (refused.add != kNone || refused.act != kNone) {
      remark_refused(g_, {id, refused.add, refused.act}, "the layer's kernel takes none of it");
    }
  }

  // Neither residual nor activation yet.
  static bool plain(const Node& n) {
    if (n.inputs.size() > 3 && n.inputs[3] != kNone) return false;
    if (n.op == &ops::kConv2dAct) {
      return static_cast<const ops::Conv2dActAttrs*>(n.attrs.get())->act == Activation::kNone;
    }
    return n.op != &ops::kLinearAct ||
           static_cast<const ops::LinearActAttrs*>(n.attrs.get())->act == Activation::kNone;
  }

  static AnyAttrs conv_attrs(const Node& layer, Activation act) {
    ops::Conv2dActAttrs to;
    if (layer.op == &ops::kConv2dAct) {
      to = *static_cast<const ops::Conv2dActAttrs*>(layer.attrs.get());
      to.act = act;
    } else {
      const auto& a = *static_cast<const ops::Conv2dAttrs*>(layer.attrs.get());
      to = {a.stride, a.pad, a.dilation, a.groups, act};
    }
    return AnyAttrs(ops::kConv2dAct.attrs, &to);
  }
  static AnyAttrs linear_attrs(Activation act) {
    const ops::LinearActAttrs to{act};
    return AnyAttrs(ops::kLinearAct.attrs, &to);
  }

  bool same_kernel(const Node& layer, const OpDef& op, const AnyAttrs& attrs,
                   const std::vector<ValueId>& in, const TensorMeta& out) const {
    SmallVector<const TensorMeta*, 6> metas;
    for (ValueId v : in) metas.push_back(v == kNone ? nullptr : &g_.meta(v));
    const CallMeta fused{&op, attrs.get(), metas, {&out, 1}};
    SmallVector<const TensorMeta*, 6> in_alone;
    SmallVector<TensorMeta, 2> out_alone;
    const DeviceType device = out.device.type;
    const KernelRow* alone =
        first_row(g_.call_meta(layer, &in_alone, &out_alone), device, Rows::kFast);
    const KernelRow* together = first_row(fused, device, Rows::kFast);
    return alone && together && std::strcmp(alone->name, together->name) == 0;
  }

  void replace(NodeId layer, const Chain& c, NodeId last, const OpDef& op, const AnyAttrs& attrs,
               std::vector<ValueId> in) {
    std::vector<int32_t> origins = g_.nodes[layer].origins;
    gone_[layer] = 1;
    for (NodeId id : {c.add, c.act}) {
      if (id == kNone) continue;
      origins = merge_origins(origins, g_.nodes[id].origins);
      gone_[id] = 1;
    }
    const TensorMeta out = g_.meta(g_.nodes[last].outputs[0]);
    const NodeId fused =
        g_.add_node(op, attrs, std::move(in), {&out, 1}, std::move(origins), g_.nodes[layer].phase);
    g_.nodes[fused].clone_group = g_.nodes[layer].clone_group;
    placed_at_[last] = fused;
    renames_.put(g_.nodes[last].outputs[0], g_.nodes[fused].outputs[0]);
  }

  Graph& g_;
  const bool trains_;
  const std::vector<NodeId> reader_;
  std::vector<char> gone_;  // by node of the graph as it was
  Renames renames_;
  std::unordered_map<NodeId, NodeId> placed_at_;  // last node of a chain -> what it became
};

}  // namespace

Status fuse_post_ops(Graph& g) {
  PostOpFusion(g).run();
  return Status();
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Purpose: batch_norm + relu and batch_norm + add + relu become one op each, and so do their
// gradients: the activation between norm and ReLU is neither written nor kept. The sum of two
// gradients that meet behind a residual block is taken in the same kernel. Requires: nothing.
// Guarantees: no batch_norm whose only reader is a relu (or an add of the same shape that only a
// relu reads) is left, nor a relu_grad of such a relu whose result goes to the norm's gradient.
#include <unordered_map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/norm.h"

namespace rutile::graph {

namespace {

class NormFusion {
 public:
  explicit NormFusion(Graph& g) : g_(g), readers_(readers_of(g)), dead_(g.nodes.size(), 0) {}
  Status run();

 private:
  // The node that alone reads v, if it is `op`.
  NodeId only_reader(ValueId v, const OpDef& op) const {
    if (readers_[v].size() != 1 || readers_[v][0] == kNone) return kNone;
    const NodeId id = readers_[v][0];
    return g_.nodes[id].op == &op ? id : kNone;
  }
  // Who reads v, for a remark: "relu and add", "the caller".
  std::string readers_text(ValueId v) const;
  // True if v is computed from one of the node's outputs.
  bool depends(ValueId v, NodeId node) const;
  void fuse_forward(NodeId norm);
  void fuse_backward(NodeId norm, NodeId relu);
  NodeId sum_for(NodeId relu_grad) const;
  // Puts a node of `op` in the place of `at`.
  NodeId replace(NodeId at, const OpDef& op, const AnyAttrs& attrs, std::vector<ValueId> in,
                 std::vector<TensorMeta> out, std::vector<int32_t> origins);
  Graph& g_;
  std::vector<std::vector<NodeId>> readers_;
  Renames renames_;
  std::vector<char> dead_;
  std::unordered_map<NodeId, NodeId> placed_at_;   // old node -> new node
  std::unordered_map<NodeId, NodeId> fused_norm_;  // norm -> the node it became part of
};

NodeId NormFusion::replace(NodeId at, const OpDef& op, const AnyAttrs& attrs,
                           std::vector<ValueId> in, std::vector<TensorMeta> out,
                           std::vector<int32_t> origins) {
  const Phase phase = g_.nodes[at].phase;
  const int32_t group = g_.nodes[at].clone_group;
  const NodeId id = g_.add_node(op, attrs, std::move(in), out, std::move(origins), phase);
  g_.nodes[id].clone_group = group;
  placed_at_[at] = id;
  return id;
}

bool NormFusion::depends(ValueId v, NodeId node) const {
  std::vector<ValueId> stack{v};
  std::vector<char> seen(g_.values.size(), 0);
  while (!stack.empty()) {
    const ValueId at = stack.back();
    stack.pop_back();
    const NodeId p = at == kNone ? kNone : g_.values[at].producer;
    if (p == kNone || seen[at]++) continue;
    if (p == node) return true;
    // A norm that was fused gives its statistics no earlier than its residual is there.
    auto fused = fused_norm_.find(p);
    const Node& n = g_.nodes[fused == fused_norm_.end() ? p : fused->second];
    stack.insert(stack.end(), n.inputs.begin(), n.inputs.end());
  }
  return false;
}

std::string NormFusion::readers_text(ValueId v) const {
  std::string text;
  for (const NodeId id : readers_[v]) {
    const std::string_view name = id == kNone ? "the caller" : g_.nodes[id].op->name;
    if (text.find(name) == std::string::npos) text += cat(text.empty() ? "" : " and ", name);
  }
  return text.empty() ? "nobody" : text;
}

void NormFusion::fuse_forward(NodeId norm) {
  const Node n = g_.nodes[norm];
  const ValueId x = n.inputs[0];
  auto operand = [&](size_t i) { return i < n.inputs.size() ? n.inputs[i] : kNone; };
  const ValueId weight = operand(1), bias = operand(2);
  ValueId residual = kNone;
  NodeId add = only_reader(n.outputs[0], ops::kAdd), relu = kNone;
  if (add != kNone) {
    const Node& a = g_.nodes[add];
    residual = a.inputs[0] == n.outputs[0] ? a.inputs[1] : a.inputs[0];
    const TensorMeta &r = g_.meta(residual), &y = g_.meta(n.outputs[0]);
    if (!(r.shape == y.shape) || r.dtype != y.dtype) {
      return remark_refused(g_, {norm, add}, cat("the sum is of ", y, " and ", r));
    }
    if (depends(residual, norm)) {
      return remark_refused(g_, {norm, add}, "the other operand of the add needs this norm");
    }
    relu = only_reader(a.outputs[0], ops::kRelu);
  } else {
    relu = only_reader(n.outputs[0], ops::kRelu);
  }
  if (relu == kNone || dead_[relu] || (add != kNone && dead_[add])) {
    const ValueId last = add == kNone ? n.outputs[0] : g_.nodes[add].outputs[0];
    return remark_refused(g_, {norm, add},
                          relu != kNone || (add != kNone && dead_[add])
                              ? "the sum belongs to the norm of its other operand"
                              : cat("read by ", readers_text(last), ", not by one relu alone"));
  }
  std::vector<int32_t> origins = merge_origins(n.origins, g_.nodes[relu].origins);
  if (add != kNone) origins = merge_origins(origins, g_.nodes[add].origins);
  std::vector<TensorMeta> metas;
  for (ValueId v : n.outputs) metas.push_back(g_.meta(v));
  const OpDef& op = add == kNone ? ops::kBatchNormRelu : ops::kBatchNormAddRelu;
  std::vector<ValueId> in{x};
  if (add != kNone) in.push_back(residual);
  in.push_back(weight);
  in.push_back(bias);
  const NodeId fused = replace(relu, op, n.attrs, in, metas, origins);
  const std::vector<ValueId> out = g_.nodes[fused].outputs;
  renames_.put(g_.nodes[relu].outputs[0], out[0]);
  renames_.put(n.outputs[1], out[1]);
  renames_.put(n.outputs[2], out[2]);
  remark_done(g_, {norm, add, relu});
  dead_[norm] = 1;
  fused_norm_[norm] = fused;
  if (add != kNone) dead_[add] = 1;
  fuse_backward(norm, relu);
}

// The add of two gradients that only this relu_grad reads.
NodeId NormFusion::sum_for(NodeId relu_grad) const {
  const ValueId dy = g_.nodes[relu_grad].inputs[0];
  const NodeId id = g_.values[dy].producer;
  if (id == kNone || dead_[id] || only_reader(dy, ops::kReluGrad) != relu_grad) return kNone;
  const Node& n = g_.nodes[id];
  if (n.op != &ops::kAdd) return kNone;
  for (ValueId v : n.inputs) {
    if (!(g_.meta(v).shape == g_.meta(dy).shape) || g_.meta(v).dtype != g_.meta(dy).dtype) {
      return kNone;
    }
  }
  return id;
}

void NormFusion::fuse_backward(NodeId norm, NodeId relu) {
  const Node n = g_.nodes[norm];
  const ValueId y = g_.nodes[relu].outputs[0];
  const bool residual = g_.nodes[placed_at_[relu]].op == &ops::kBatchNormAddRelu;
  auto operand = [](const Node& m, size_t i) { return i < m.inputs.size() ? m.inputs[i] : kNone; };
  for (NodeId id : readers_[y]) {
    if (id == kNone || g_.nodes[id].op != &ops::kReluGrad || g_.nodes[id].inputs[1] != y ||
        dead_[id]) {
      continue;
    }
    const Node relu_grad = g_.nodes[id];
    const ValueId dz = relu_grad.outputs[0];
    NodeId norm_grad = kNone;
    for (NodeId reader : readers_[dz]) {
      if (reader == kNone || g_.nodes[reader].op != &ops::kBatchNormGrad || dead_[reader]) continue;
      const Node& b = g_.nodes[reader];
      if (b.inputs[0] == dz && b.inputs[1] == n.inputs[0] && b.inputs[2] == n.outputs[1] &&
          b.inputs[3] == n.outputs[2] && operand(b, 4) == operand(n, 1)) {
        norm_grad = reader;
      }
    }
    if (norm_grad == kNone || (!residual && readers_[dz].size() != 1)) {
      remark_refused(g_, {id},
                     cat("the gradient is read by ", readers_text(dz),
                         ", not by the gradient of the norm alone"));
      continue;
    }
    // Behind a mean over the image all its pixels have one gradient, which relu_grad broadcasts.
    const TensorMeta &dy = g_.meta(relu_grad.inputs[0]), &z = g_.meta(y);
    if (!(dy.shape == z.shape) || dy.dtype != z.dtype) {
      remark_refused(g_, {id}, cat("the gradient is ", dy, " for a result ", z));
      continue;
    }
    const Node b = g_.nodes[norm_grad];
    std::vector<TensorMeta> metas{g_.meta(b.outputs[0])};
    std::vector<ValueId> in{relu_grad.inputs[0], b.inputs[1]};
    const NodeId sum = residual ? sum_for(id) : kNone;
    if (sum != kNone) in[0] = g_.nodes[sum].inputs[0];
    if (residual) {
      in.push_back(y);
      metas.push_back(g_.meta(dz));
    }
    in.insert(in.end(), {b.inputs[2], b.inputs[3], operand(b, 4)});
    if (!residual) in.push_back(operand(n, 2));
    std::vector<int32_t> origins = merge_origins(relu_grad.origins, b.origins);
    if (sum != kNone) {
      in.push_back(g_.nodes[sum].inputs[1]);
      origins = merge_origins(origins, g_.nodes[sum].origins);
      dead_[sum] = 1;
    }
    metas.push_back(g_.meta(b.outputs[1]));
    metas.push_back(g_.meta(b.outputs[2]));
    const OpDef& op = residual ? ops::kBatchNormAddReluGrad : ops::kBatchNormReluGrad;
    const NodeId fused = replace(id, op, AnyAttrs(), in, metas, origins);
    const std::vector<ValueId> out = g_.nodes[fused].outputs;
    size_t o = 0;
    renames_.put(b.outputs[0], out[o++]);
    if (residual) renames_.put(dz, out[o++]);
    renames_.put(b.outputs[1], out[o++]);
    renames_.put(b.outputs[2], out[o]);
    remark_done(g_, {sum, id, norm_grad});
    dead_[norm_grad] = 1;
  }
}

Status NormFusion::run() {
  const std::vector<NodeId> old = g_.order;
  for (NodeId id : old) {
    if (g_.nodes[id].op == &ops::kBatchNorm) fuse_forward(id);
  }
  g_.order.clear();
  for (NodeId id : old) {
    auto it = placed_at_.find(id);
    if (it != placed_at_.end()) {
      g_.order.push_back(it->second);
    } else if (!dead_[id]) {
      g_.order.push_back(id);
    }
  }
  g_.replace_uses(renames_.map());
  return sort_topologically(g_);
}

}  // namespace

Status fuse_norm_act(Graph& g) { return NormFusion(g).run(); }

}  // namespace rutile::graph

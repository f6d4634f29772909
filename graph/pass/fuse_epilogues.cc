// SPDX-License-Identifier: Apache-2.0
// Purpose: in training steps products do at their end what kernels of their own would do around
// them: GELU by tanh behind a layer, which also writes what its gradient needs; that gradient
// behind the product that gives it; and the sums for a bias, while the gradient of the weight reads
// the same matrix. Requires: fuse_post_ops has run. Guarantees: every node made here has a kernel
// of its device that takes it, asked by preparing it; where there is none, the nodes stay what they
// are. Results are those of the single ops within rounding. ReLU is not taken: the library's turns
// NaN into 0, and a network that diverged must show it (inference takes it: fuse_post_ops).
#include <algorithm>
#include <map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/epilogues.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/layer_norm.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

bool has_plan(const CallMeta& c) {
  std::shared_ptr<const Plan> plan;
  return make_plan(c, c.out().device.type, &plan, Rows::kFast).ok();
}

bool by_tanh(const Node& n) {
  return static_cast<const ops::GeluAttrs*>(n.attrs.get())->approximate ==
         ops::GeluApproximate::kTanh;
}

class EpilogueFusion {
 public:
  EpilogueFusion(Graph& g, AcceptsFn accepts)
      : g_(g), accepts_(accepts), readers_(readers_of(g)), gone_(g.nodes.size(), 0) {}
  Status run();

 private:
  Node& node(NodeId id) { return g_.nodes[id]; }
  NodeId producer(ValueId v) const { return v == kNone ? kNone : g_.values[v].producer; }
  bool together(const Node& a, const Node& b) const {
    return a.phase == b.phase && a.clone_group == b.clone_group;
  }
  // The node of a product that takes over what `nodes` do, in the place of the first of them; kNone
  // where no kernel takes it. `results` are what its outputs are called so far.
  NodeId replace(const OpDef& op, const AnyAttrs& attrs, std::vector<ValueId> in,
                 const std::vector<NodeId>& nodes, const std::vector<ValueId>& results);
  bool accepts(const CallMeta& c);
  bool is_summed_elsewhere(ValueId v) const;
  void fuse_gelu(NodeId layer);
  void fuse_gelu_grad(NodeId gradient);
  void fuse_sums(NodeId product);

  Graph& g_;
  const AcceptsFn accepts_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<char> gone_;  // by node of the graph as it was
  std::map<NodeId, NodeId> placed_;
  std::map<std::string, bool> accepted_;  // by call: layers are alike
  Renames renames_;
};

bool EpilogueFusion::accepts(const CallMeta& c) {
  std::string key = c.op->name;
  if (c.op->attrs) key += attrs_to_string(*c.op->attrs, c.attrs, /*all=*/true);
  for (const TensorMeta* m : c.inputs) key += m ? cat(" ", *m, to_string(m->strides)) : " none";
  const auto [at, fresh] = accepted_.emplace(key, false);
  if (fresh) at->second = accepts_(c);
  return at->second;
}

NodeId EpilogueFusion::replace(const OpDef& op, const AnyAttrs& attrs, std::vector<ValueId> in,
                               const std::vector<NodeId>& nodes,
                               const std::vector<ValueId>& results) {
  SmallVector<const TensorMeta*, 6> metas;
  for (ValueId& v : in) {
    v = renames_.resolve(v);
    metas.push_back(v == kNone ? nullptr : &g_.meta(v));
  }
  CallMeta call{&op, attrs.get(), metas, {}};
  SmallVector<TensorMeta, 1> out;
  if (!infer_call(call, &out).ok()) return kNone;
  for (size_t i = 0; i < results.size(); ++i) {
    const TensorMeta& now = g_.meta(results[i]);
    const TensorMeta& then = out[static_cast<int>(i)];
    if (now.dtype != then.dtype || !same_placement(now, then)) return kNone;
  }
  call.outputs = out;
  if (!accepts(call)) {
    remark_refused(g_, nodes, cat("no kernel takes them as ", op.name));
    return kNone;
  }
  remark_done(g_, nodes, op.name);
  std::vector<int32_t> origins;
  for (const NodeId id : nodes) {
    origins = merge_origins(origins, node(id).origins);
    gone_[id] = 1;
  }
  const Phase phase = node(nodes[0]).phase;
  const int32_t group = node(nodes[0]).clone_group;
  const NodeId made = g_.add_node(op, attrs, std::move(in), out, std::move(origins), phase);
  node(made).clone_group = group;
  for (size_t i = 0; i < results.size(); ++i) renames_.put(results[i], node(made).outputs[i]);
  placed_[nodes[0]] = made;
  return made;
}

// pre = linear(x, weight, bias), y = gelu(pre); where nobody else reads pre it is linear_act's.
// What is elementwise behind GELU as well (dropout) is one kernel with it, which reads pre once:
// the library's y would be written and read in between.
void EpilogueFusion::fuse_gelu(NodeId layer) {
  const ValueId pre = node(layer).outputs[0];
  for (const NodeId r : readers_[pre]) {
    if (r == kNone || gone_[r] || node(r).op != &ops::kGelu || !by_tanh(node(r)) ||
        !together(node(r), node(layer))) {
      continue;
    }
    for (const NodeId next : readers_[node(r).outputs[0]]) {
      if (next != kNone && node(next).op->elementwise) return;
    }
    (void)replace(ops::kLinearGelu, {}, node(layer).inputs, {layer, r}, {node(r).outputs[0], pre});
    return;
  }
}

// dz = matmul(dy, weight) for this alone, gelu_grad(dz, pre).
void EpilogueFusion::fuse_gelu_grad(NodeId gradient) {
  const ValueId dz = node(gradient).inputs[0];
  const NodeId product = producer(dz);
  if (!by_tanh(node(gradient)) || product == kNone || gone_[product] ||
      node(product).op != &ops::kMatmul || readers_[dz].size() != 1 ||
      node(gradient).inputs[1] == dz || !together(node(product), node(gradient))) {
    return;
  }
  const auto& a = *static_cast<const ops::MatmulAttrs*>(node(product).attrs.get());
  const std::vector<ValueId> factors = node(product).inputs;
  if (a.transpose_a || a.transpose_b || g_.meta(dz).dtype != g_.meta(factors[0]).dtype) return;
  // In the place of the gradient: there both factors and `pre` are known.
  (void)replace(ops::kMatmulGeluGrad, {}, {factors[0], factors[1], node(gradient).inputs[1]},
                {gradient, product}, {node(gradient).outputs[0]});
}

// Whether the kernel that makes it can sum it up in passing, as fuse_elementwise arranges.
bool EpilogueFusion::is_summed_elsewhere(ValueId v) const {
  const NodeId p = producer(v);
  if (p == kNone) return false;
  const OpDef* op = g_.nodes[p].op;
  return op->elementwise || op == &ops::kLayerNormGrad || op == &ops::kRmsNormGrad ||
         op == &ops::kLayerNorm || op == &ops::kRmsNorm;
}

// The sums of g over all but its last dimension, of this dtype.
bool sums_rows(const Graph& g, const Node& n, DType t) {
  const TensorMeta &x = g.meta(n.inputs[0]), &y = g.meta(n.outputs[0]);
  if (y.dtype != t || y.rank() != 1 || x.rank() < 2 || y.dim(0) != x.shape.back()) return false;
  if (n.op == &ops::kSumToShape) return true;
  if (n.op != &ops::kSum) return false;
  const auto& a = *static_cast<const ops::SumAttrs*>(n.attrs.get());
  bool last = a.axes.empty();
  for (const int64_t axis : a.axes) last |= axis == -1 || axis == x.rank() - 1;
  return !last;
}

// dw = matmul(g', x) and db, the sums of the rows of g.
void EpilogueFusion::fuse_sums(NodeId product) {
  const Node& n = node(product);
  const auto& a = *static_cast<const ops::MatmulAttrs*>(n.attrs.get());
  const ValueId matrix = n.inputs[0];
  if (!a.transpose_a || g_.meta(matrix).rank() != 2 || g_.meta(n.inputs[1]).rank() != 2) return;
  // The sums may read it under the shape that it was made in.
  ValueId source = matrix;
  if (const NodeId p = producer(matrix); p != kNone && node(p).op == &ops::kReshape) {
    source = node(p).inputs[0];
  }
  if (is_summed_elsewhere(renames_.resolve(source))) return;
  const DType wide = g_.meta(n.outputs[0]).dtype;
  for (const ValueId v : {source, matrix}) {
    if (g_.meta(v).shape.back() != g_.meta(matrix).shape.back()) continue;
    for (const NodeId r : readers_[v]) {
      if (r == kNone || gone_[r] || node(r).inputs[0] != v || !together(node(r), n) ||
          (node(r).op != &ops::kSumToShape && node(r).op != &ops::kSum) ||
          !sums_rows(g_, node(r), wide)) {
        continue;
      }
      const AnyAttrs attrs = n.attrs;
      (void)replace(ops::kMatmulSums, attrs, n.inputs, {product, r},
                    {n.outputs[0], node(r).outputs[0]});
      return;
    }
  }
}

Status EpilogueFusion::run() {
  const std::vector<NodeId> order = g_.order;
  const auto each = [&](const OpDef& op, void (EpilogueFusion::*fuse)(NodeId)) {
    for (const NodeId id : order) {
      if (!gone_[id] && g_.nodes[id].op == &op) (this->*fuse)(id);
    }
  };
  each(ops::kLinear, &EpilogueFusion::fuse_gelu);
  each(ops::kGeluGrad, &EpilogueFusion::fuse_gelu_grad);
  each(ops::kMatmul, &EpilogueFusion::fuse_sums);
  if (placed_.empty()) return Status();
  g_.order.clear();
  for (const NodeId id : order) {
    if (const auto at = placed_.find(id); at != placed_.end()) {
      g_.order.push_back(at->second);
    } else if (!gone_[id]) {
      g_.order.push_back(id);
    }
  }
  g_.replace_uses(renames_.map());
  return sort_topologically(g_);  // sums may have been asked for before the product
}

}  // namespace

Status fuse_epilogues(Graph& g) {
  const bool has_rows = std::any_of(g.order.begin(), g.order.end(), [&](NodeId id) {
    const Node& n = g.nodes[id];
    return n.op == &ops::kMatmul &&
           !kernel_rows(ops::kMatmulSums, g.meta(n.outputs[0]).device.type).empty();
  });
  return has_rows ? fuse_epilogues_where(g, has_plan) : Status();
}
Status fuse_epilogues_where(Graph& g, AcceptsFn accepts) {
  return EpilogueFusion(g, accepts).run();
}

}  // namespace rutile::graph

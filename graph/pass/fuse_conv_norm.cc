// SPDX-License-Identifier: Apache-2.0
// Purpose: in chains of convolution, batch norm and ReLU the norm moves into the convolutions on
// both its sides, where a kernel takes that: the one before gives the sums for the statistics, the
// one behind normalises what it reads, and so does the gradient of its weight, so that the
// normalised image is never in memory; the gradient by that image goes through the ReLU and sums
// what the norm's gradient needs in the same kernel. Requires: fuse_norm_act has run. Guarantees:
// every node made here has a kernel of its device that takes it with channels-last images; where
// there is none, the nodes stay what they are.
#include <algorithm>
#include <map>

#include "rutile/graph/pass/append.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/conv_norm.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/grad_util.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

class ConvNormFusion {
 public:
  ConvNormFusion(Graph& g, AcceptsFn accepts)
      : g_(g), accepts_(accepts), readers_(readers_of(g)), convs_(g.nodes.size(), kNone) {}
  Status run();

 private:
  struct Norm {
    NodeId conv = kNone;    // before it
    bool absorbed = false;  // nobody needs the normalised image
    ValueId sum = kNone, square_sum = kNone, scale = kNone, shift = kNone;
  };
  const Node& node(NodeId id) const { return g_.nodes[id]; }
  NodeId producer(ValueId v) const { return v == kNone ? kNone : g_.values[v].producer; }
  bool accepts(const OpDef& op, const void* attrs, const std::vector<TensorMeta>& in) const;
  bool is_norm(const OpDef* op) const {
    return op == &ops::kBatchNorm || op == &ops::kBatchNormRelu || op == &ops::kBatchNormAddRelu;
  }
  bool takes_stats(NodeId conv, bool normalises) const;
  bool takes_norm(NodeId weight_grad) const;
  bool absorbs(NodeId norm) const;
  NodeId input_grad_before(NodeId norm_grad) const;
  void find();
  TensorMeta channels(ValueId image, DType t) const;

  Tensor placed(AppendScope& append, ValueId v);
  void make_conv(NodeId id);
  void make_norm(NodeId id);
  void make_weight_grad(NodeId id);
  void make_norm_grad(NodeId id);
  const Norm* absorbed_norm_of(ValueId image) const;

  Graph& g_;
  const AcceptsFn accepts_;
  const std::vector<std::vector<NodeId>> readers_;
  std::map<NodeId, Norm> norms_;
  std::vector<NodeId> convs_;             // by node: the norm behind it that takes its sums
  std::map<NodeId, NodeId> input_grads_;  // gradient of a norm -> that of the convolution
  Renames renames_;
  std::map<ValueId, ValueId> placed_;  // by value of now: the same, channels-last
};

// Images and weights lie channels-last, as the layout pass will place them.
bool ConvNormFusion::accepts(const OpDef& op, const void* attrs,
                             const std::vector<TensorMeta>& in) const {
  std::vector<TensorMeta> placed = in;
  SmallVector<const TensorMeta*, 6> pointers;
  const auto place_images = [](TensorMeta* m) {
    return m->rank() != 4 || place(m->shape, m->dtype, m->device, {kStrided, true}, m).ok();
  };
  for (TensorMeta& m : placed) {
    if (!place_images(&m)) return false;
    pointers.push_back(&m);
  }
  CallMeta call{&op, attrs, pointers, {}};
  SmallVector<TensorMeta, 1> out;
  if (!infer_call(call, &out).ok()) return false;
  for (TensorMeta& m : out) {
    if (!place_images(&m)) return false;
  }
  call.outputs = out;
  return accepts_(call);
}

TensorMeta ConvNormFusion::channels(ValueId image, DType t) const {
  const TensorMeta& m = g_.meta(image);
  return TensorMeta({m.dim(1)}, t, m.device);
}

bool ConvNormFusion::takes_stats(NodeId conv, bool normalises) const {
  const Node& n = node(conv);
  const ValueId x = n.inputs[0];
  std::vector<TensorMeta> in{g_.meta(x), g_.meta(n.inputs[1])};
  if (normalises) in.insert(in.end(), 2, channels(x, g_.meta(x).dtype));
  return accepts(ops::kConv2dStats, n.attrs.get(), in);
}

bool ConvNormFusion::takes_norm(NodeId weight_grad) const {
  const Node& n = node(weight_grad);
  const TensorMeta& x = g_.meta(n.inputs[1]);
  const TensorMeta c = channels(n.inputs[1], x.dtype);
  return accepts(ops::kConv2dNormWeightGrad, n.attrs.get(), {g_.meta(n.inputs[0]), x, c, c});
}

// Every reader of its result can normalise by itself.
bool ConvNormFusion::absorbs(NodeId norm) const {
  const Node& n = node(norm);
  if (n.op != &ops::kBatchNormRelu || n.inputs.size() < 3 || n.inputs[1] == kNone ||
      n.inputs[2] == kNone) {
    return false;
  }
  const ValueId z = n.outputs[0];
  bool convolved = false;
  for (const NodeId r : readers_[z]) {
    if (r == kNone || node(r).clone_group != n.clone_group) return false;
    const Node& reader = node(r);
    if (convs_[r] != kNone && reader.inputs[0] == z && reader.inputs[1] != z) {
      if (!takes_stats(r, true)) return false;
      convolved = true;
    } else if (reader.op != &ops::kConv2dWeightGrad || reader.inputs[1] != z ||
               reader.inputs[0] == z || !takes_norm(r)) {
      return false;
    }
  }
  return convolved;
}

NodeId ConvNormFusion::input_grad_before(NodeId norm_grad) const {
  const Node& n = node(norm_grad);
  if (n.op != &ops::kBatchNormReluGrad || n.inputs.size() < 6 || n.inputs[4] == kNone ||
      n.inputs[5] == kNone) {
    return kNone;
  }
  const NodeId id = producer(n.inputs[0]);
  if (id == kNone || node(id).op != &ops::kConv2dInputGrad || readers_[n.inputs[0]].size() != 1 ||
      node(id).clone_group != n.clone_group) {
    return kNone;
  }
  const auto& a = *static_cast<const ops::Conv2dInputGradAttrs*>(node(id).attrs.get());
  const TensorMeta& x = g_.meta(n.inputs[1]);
  if (g_.meta(n.inputs[0]).dtype != x.dtype) return kNone;
  const ops::Conv2dAttrs attrs{a.stride, a.pad, a.dilation, a.groups};
  const TensorMeta c = channels(n.inputs[1], ops::wide(x.dtype));
  const bool taken =
      accepts(ops::kConv2dNormInputGrad, &attrs,
              {g_.meta(node(id).inputs[0]), g_.meta(node(id).inputs[1]), x, c, c, c, c});
  return taken ? id : kNone;
}

void ConvNormFusion::find() {
  for (const NodeId id : g_.order) {
    const Node& n = node(id);
    if (is_norm(n.op) && g_.meta(n.inputs[0]).rank() == 4) {
      const NodeId conv = producer(n.inputs[0]);
      if (conv == kNone || node(conv).op != &ops::kConv2d || convs_[conv] != kNone) continue;
      const Node& c = node(conv);
      if ((c.inputs.size() > 2 && c.inputs[2] != kNone) || c.clone_group != n.clone_group ||
          c.phase != n.phase || !takes_stats(conv, false)) {
        continue;
      }
      convs_[conv] = id;
      norms_[id].conv = conv;
    } else if (const NodeId before = input_grad_before(id); before != kNone) {
      input_grads_[id] = before;
    }
  }
  for (auto& [id, norm] : norms_) norm.absorbed = absorbs(id);
}

const ConvNormFusion::Norm* ConvNormFusion::absorbed_norm_of(ValueId image) const {
  const auto it = norms_.find(producer(image));
  return it != norms_.end() && it->second.absorbed && node(it->first).outputs[0] == image
             ? &it->second
             : nullptr;
}

// The image or weight as the kernel was asked for it.
Tensor ConvNormFusion::placed(AppendScope& append, ValueId v) {
  v = renames_.resolve(v);
  const TensorMeta m = g_.meta(v);
  TensorMeta last;
  if (place(m.shape, m.dtype, m.device, {kStrided, true}, &last).ok() && same_placement(m, last)) {
    return append.symbol(v);
  }
  const auto [it, fresh] = placed_.emplace(v, kNone);
  if (fresh) it->second = append.value_of(ops::reorder(append.symbol(v), {kStrided, true}));
  return append.symbol(it->second);
}

void ConvNormFusion::make_conv(NodeId id) {
  const Node n = node(id);
  AppendScope append(g_, n, n.origins);
  const auto& attrs = *static_cast<const ops::Conv2dAttrs*>(n.attrs.get());
  const Tensor weight = placed(append, n.inputs[1]);
  ops::Conv2dStats r;
  if (const Norm* before = absorbed_norm_of(n.inputs[0])) {
    const ValueId x = node(producer(n.inputs[0])).inputs[0];
    r = ops::conv2d_stats(placed(append, x), weight, append.symbol(before->scale),
                          append.symbol(before->shift), attrs);
  } else {
    r = ops::conv2d_stats(placed(append, n.inputs[0]), weight, {}, {}, attrs);
  }
  Norm& behind = norms_.at(convs_[id]);
  behind.sum = append.value_of(r.sum);
  behind.square_sum = append.value_of(r.square_sum);
  renames_.put(n.outputs[0], append.value_of(r.y));
}

void ConvNormFusion::make_norm(NodeId id) {
  const Node n = node(id);
  Norm& norm = norms_.at(id);
  AppendScope append(g_, n, n.origins);
  const bool adds = n.op == &ops::kBatchNormAddRelu;
  const auto operand = [&](size_t i) {
    return i < n.inputs.size() && n.inputs[i] != kNone
               ? append.symbol(renames_.resolve(n.inputs[i]))
               : Tensor();
  };
  const Tensor y = operand(0), gamma = operand(adds ? 2 : 1), beta = operand(adds ? 3 : 2);
  const double count = static_cast<double>(y.numel()) / static_cast<double>(y.dim(1));
  const double eps = static_cast<const ops::BatchNormAttrs*>(n.attrs.get())->eps;
  const Tensor mean = append.symbol(norm.sum) / count;
  const Tensor square = append.symbol(norm.square_sum) / count;
  const Tensor rstd = ops::rsqrt(ops::relu(square - mean * mean) + eps);
  renames_.put(n.outputs[1], append.value_of(mean));
  renames_.put(n.outputs[2], append.value_of(rstd));
  if (norm.absorbed) {
    const Tensor scale = gamma * rstd;
    norm.scale = append.value_of(ops::cast(scale, y.dtype()));
    norm.shift = append.value_of(ops::cast(beta - mean * scale, y.dtype()));
    return;
  }
  const ops::BatchNormApplyAttrs attrs{n.op != &ops::kBatchNorm};
  const Tensor z = call1(ops::kBatchNormApply, &attrs,
                         {y, mean, rstd, gamma, beta, adds ? operand(1) : Tensor()});
  renames_.put(n.outputs[0], append.value_of(z));
}

void ConvNormFusion::make_weight_grad(NodeId id) {
  const Node n = node(id);
  const Norm& norm = *absorbed_norm_of(n.inputs[1]);
  AppendScope append(g_, n, n.origins);
  const ValueId x = node(producer(n.inputs[1])).inputs[0];
  const Tensor d = ops::conv2d_norm_weight_grad(
      placed(append, n.inputs[0]), placed(append, x), append.symbol(norm.scale),
      append.symbol(norm.shift), *static_cast<const ops::Conv2dWeightGradAttrs*>(n.attrs.get()));
  renames_.put(n.outputs[0], append.value_of(d));
}

// dx = gamma rstd (d - (dbeta + normalised dgamma) / n) = a d + b x + c by channel.
void ConvNormFusion::make_norm_grad(NodeId id) {
  const Node n = node(id), conv = node(input_grads_.at(id));
  AppendScope append(g_, n, merge_origins(conv.origins, n.origins));
  const auto symbol = [&](ValueId v) { return append.symbol(renames_.resolve(v)); };
  const Tensor x = placed(append, n.inputs[1]), mean = symbol(n.inputs[2]),
               rstd = symbol(n.inputs[3]);
  const Tensor gamma = symbol(n.inputs[4]), beta = symbol(n.inputs[5]);
  const auto& a = *static_cast<const ops::Conv2dInputGradAttrs*>(conv.attrs.get());
  const ops::Conv2dNormInputGrad r =
      ops::conv2d_norm_input_grad(placed(append, conv.inputs[0]), placed(append, conv.inputs[1]), x,
                                  mean, rstd, gamma, beta, {a.stride, a.pad, a.dilation, a.groups});
  const double count = static_cast<double>(x.numel()) / static_cast<double>(x.dim(1));
  const Tensor of_d = gamma * rstd, of_x = of_d * rstd * r.dgamma / -count;
  const Tensor constant = of_d * r.dbeta / -count - of_x * mean;
  const auto channels = [](const Tensor& v) { return ops::per_channel(v, 4); };
  const Tensor dx =
      ops::wide(r.d) * channels(of_d) + ops::wide(x) * channels(of_x) + channels(constant);
  renames_.put(n.outputs[0], append.value_of(ops::cast(dx, x.dtype())));
  renames_.put(n.outputs[1], append.value_of(r.dgamma));
  renames_.put(n.outputs[2], append.value_of(r.dbeta));
}

Status ConvNormFusion::run() {
  find();
  if (norms_.empty() && input_grads_.empty()) return Status();
  std::vector<char> gone(g_.nodes.size(), 0);
  for (const auto& [id, conv] : input_grads_) gone[conv] = 1;
  const std::vector<NodeId> old = std::move(g_.order);
  g_.order.clear();
  for (const NodeId id : old) {
    if (gone[id]) continue;
    if (convs_[id] != kNone) {
      make_conv(id);
    } else if (norms_.count(id)) {
      remark_done(g_, {norms_.at(id).conv, id}, norms_.at(id).absorbed ? "never in memory" : "");
      make_norm(id);
    } else if (node(id).op == &ops::kConv2dWeightGrad && absorbed_norm_of(node(id).inputs[1])) {
      remark_done(g_, {id}, "normalises what it reads");
      make_weight_grad(id);
    } else if (input_grads_.count(id)) {
      remark_done(g_, {input_grads_.at(id), id});
      make_norm_grad(id);
    } else {
      g_.order.push_back(id);
    }
  }
  g_.replace_uses(renames_.map());
  return sort_topologically(g_);
}

}  // namespace

Status fuse_conv_norm_where(Graph& g, AcceptsFn accepts) {
  return ConvNormFusion(g, accepts).run();
}

Status fuse_conv_norm(Graph& g) {
  return fuse_conv_norm_where(g, [](const CallMeta& c) {
    const DeviceType device = c.out().device.type;
    std::shared_ptr<const Plan> plan;
    return device != DeviceType::kCpu && !kernel_rows(*c.op, device).empty() &&
           make_plan(c, device, &plan, Rows::kFast).ok();
  });
}

}  // namespace rutile::graph

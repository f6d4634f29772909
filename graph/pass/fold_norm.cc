// SPDX-License-Identifier: Apache-2.0
// Purpose: a batch norm with given statistics behind a convolution or linear layer becomes part of
// its weight and bias: w' = w * s, b' = beta + (b - mean) * s with s = gamma / sqrt(var + eps).
// Requires: nothing. Guarantees: no such norm is left whose operands, and whose layer's weight and
// bias, are computed from States and constants, if only the norm reads the layer's result.
#include "rutile/graph/pass/append.h"
#include "rutile/graph/pass/inference.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/conv.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/norm.h"
#include "rutile/ops/post_ops.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

class NormFolding {
 public:
  explicit NormFolding(Graph& g) : g_(g), fixed_(fixed_values(g)), reader_(only_readers(g)) {}

  void run() {
    const std::vector<NodeId> old = std::move(g_.order);
    g_.order.clear();
    for (NodeId id : old) {
      if (g_.nodes[id].op != &ops::kBatchNormInference) {
        g_.order.push_back(id);
        continue;
      }
      const NodeId layer = g_.values[g_.nodes[id].inputs[0]].producer;
      if (const std::string why = obstacle(id); !why.empty()) {
        remark_refused(g_, {layer, id}, why);
        g_.order.push_back(id);
        continue;
      }
      remark_done(g_, {layer, id});
      fold(id);
    }
    g_.replace_uses(renames_.map());
  }

 private:
  ValueId input(const Node& n, size_t i) const { return i < n.inputs.size() ? n.inputs[i] : kNone; }

  // Empty if the norm can become part of the layer before it, else why not.
  std::string obstacle(NodeId id) const {
    const Node& norm = g_.nodes[id];
    const ValueId x = norm.inputs[0];
    const NodeId layer = g_.values[x].producer;
    if (layer == kNone) return "no layer stands before it";
    if (reader_[x] != id) return "what it normalises is read by others, too";
    const Node& n = g_.nodes[layer];
    // Behind a linear layer, channels are the second dimension only of a matrix.
    const bool known = n.op == &ops::kConv2d || (n.op == &ops::kLinear && g_.meta(x).rank() == 2);
    if (!known || n.phase != norm.phase) {
      return cat("it stands behind ", n.op->name, ", no convolution or linear layer");
    }
    for (const Node* user : {&norm, &n}) {
      for (size_t i = 1; i < user->inputs.size(); ++i) {
        if (user->inputs[i] != kNone && !fixed_[user->inputs[i]]) {
          return "weights or statistics change from call to call";
        }
      }
    }
    return same_placement(g_.meta(x), g_.meta(norm.outputs[0])) ? "" : "it changes the layout";
  }

  // What a cast to low precision was made of: the product is rounded once.
  ValueId before_cast(ValueId v) const {
    const NodeId p = v == kNone ? kNone : g_.values[v].producer;
    return p != kNone && g_.nodes[p].op == &ops::kCast ? g_.nodes[p].inputs[0] : v;
  }

  void fold(NodeId id) {
    const Node norm = g_.nodes[id];
    const Node layer = g_.nodes[g_.values[norm.inputs[0]].producer];
    AppendScope append(g_, norm, merge_origins(layer.origins, norm.origins));

    const double eps = static_cast<const ops::BatchNormAttrs*>(norm.attrs.get())->eps;
    const Tensor mean = append.symbol(norm.inputs[1]), var = append.symbol(norm.inputs[2]);
    const Tensor gamma = append.symbol(input(norm, 3)), beta = append.symbol(input(norm, 4));
    Tensor scale = ops::rsqrt(var + Scalar(eps));
    if (gamma.defined()) scale = scale * gamma;
    const DType t = g_.meta(norm.inputs[0]).dtype, wide = scale.dtype();
    const Tensor x = append.symbol(layer.inputs[0]);
    const Tensor w = ops::cast(append.symbol(before_cast(layer.inputs[1])), wide);
    const Tensor b = append.symbol(before_cast(input(layer, 2)));
    const Tensor shift = (b.defined() ? ops::cast(b, wide) - mean : ops::neg(mean)) * scale;
    const Tensor bias = beta.defined() ? shift + beta : shift;
    Shape column{scale.dim(0)};
    while (column.rank() < w.rank()) column.push_back(1);
    const Tensor weight = ops::cast(w * ops::reshape(scale, column), t);
    const Tensor y = call_layer(layer, x, weight, bias);

    renames_.put(norm.outputs[0], append.value_of(y));
  }

  // The bias stays wide beside a product of low precision: it holds what the mean was.
  static Tensor call_layer(const Node& layer, const Tensor& x, const Tensor& weight,
                           const Tensor& bias) {
    const bool mixed = bias.dtype() != x.dtype();
    if (layer.op == &ops::kLinear) {
      return mixed ? ops::linear_act(x, weight, bias) : ops::linear(x, weight, bias);
    }
    const auto& a = *static_cast<const ops::Conv2dAttrs*>(layer.attrs.get());
    if (!mixed) return ops::conv2d(x, weight, bias, a);
    return ops::conv2d_act(
        x, weight, bias, {},
        {.stride = a.stride, .pad = a.pad, .dilation = a.dilation, .groups = a.groups});
  }

  Graph& g_;
  const std::vector<char> fixed_;
  const std::vector<NodeId> reader_;
  Renames renames_;
};

}  // namespace

Status fold_norm(Graph& g) {
  NormFolding(g).run();
  return Status();
}

}  // namespace rutile::graph

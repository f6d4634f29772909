// SPDX-License-Identifier: Apache-2.0
// Purpose: the logits of a large vocabulary are the largest tensor of a language model, and their
// gradient is as large. Where a linear layer feeds cross_entropy, the rows are cut into pieces:
// each piece's logits, loss, gradient (written over the logits) and products with weight and input
// follow each other, so that no more than one piece of logits is ever there. Requires: merge_sums
// has run (it would join the pieces' products again). Guarantees: a classifier whose logits nobody
// else reads is cut; sums over the pieces are those of the whole within rounding. An error of a
// label names its row within the piece.
#include <algorithm>
#include <optional>

#include "rutile/graph/pass/append.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/loss.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

constexpr int64_t kMostPieces = 6, kRowsTogether = 256;

// A linear layer, its loss, and what backward makes of them.
struct Classifier {
  NodeId linear = kNone, loss = kNone, grad = kNone;
  std::vector<NodeId> between;             // casts and reshapes, both ways
  std::vector<NodeId> dx, dweight, dbias;  // products with the gradient of the logits, its sums
};

class Splitter {
 public:
  Splitter(Graph& g, int64_t least_bytes)
      : g_(g), least_bytes_(least_bytes), readers_(readers_of(g)) {}
  Status run();

 private:
  const Node& node(NodeId id) const { return g_.nodes[id]; }
  NodeId producer(ValueId v) const { return v == kNone ? kNone : g_.values[v].producer; }
  bool passes_on(NodeId id) const;
  ValueId origin_of(ValueId v) const;
  bool find_forward(NodeId loss, Classifier* c) const;
  bool find_backward(ValueId d, Classifier* c) const;
  bool depends(ValueId v, NodeId on) const;
  std::string why_not(NodeId loss, Classifier* c) const;
  void split(const Classifier& c);

  Graph& g_;
  const int64_t least_bytes_;
  const std::vector<std::vector<NodeId>> readers_;
  Renames renames_;
  std::vector<char> gone_;
};

// A cast between floating types or a reshape.
bool Splitter::passes_on(NodeId id) const {
  if (id == kNone) return false;
  return node(id).op == &ops::kReshape ||
         (node(id).op == &ops::kCast && is_floating(g_.meta(node(id).inputs[0]).dtype));
}

// What v is a reshaped view of.
ValueId Splitter::origin_of(ValueId v) const {
  while (producer(v) != kNone && node(producer(v)).op == &ops::kReshape) {
    v = node(producer(v)).inputs[0];
  }
  return v;
}

// From the loss back to the layer; nobody else may read what lies between.
bool Splitter::find_forward(NodeId loss, Classifier* c) const {
  c->loss = loss;
  ValueId v = node(loss).inputs[0];
  for (const NodeId r : readers_[v]) {
    if (r == loss) continue;
    if (r == kNone || c->grad != kNone || node(r).op != &ops::kCrossEntropyGrad) return false;
    c->grad = r;
  }
  if (c->grad == kNone || node(c->grad).inputs[1] != v) return false;
  while (passes_on(producer(v))) {
    c->between.push_back(producer(v));
    v = node(producer(v)).inputs[0];
    if (readers_[v].size() != 1) return false;
  }
  c->linear = producer(v);
  return c->linear != kNone && node(c->linear).op == &ops::kLinear;
}

bool Splitter::find_backward(ValueId d, Classifier* c) const {
  const Node& layer = node(c->linear);
  for (const NodeId r : readers_[d]) {
    if (r == kNone) return false;
    const Node& n = node(r);
    if (passes_on(r)) {
      c->between.push_back(r);
      if (!find_backward(n.outputs[0], c)) return false;
    } else if (n.op == &ops::kSumToShape && g_.meta(n.outputs[0]).rank() == 1) {
      c->dbias.push_back(r);
    } else if (n.op == &ops::kMatmul && n.inputs[0] == d && n.inputs[1] != d) {
      const auto& a = *static_cast<const ops::MatmulAttrs*>(n.attrs.get());
      if (!a.transpose_a && !a.transpose_b && n.inputs[1] == layer.inputs[1]) {
        c->dx.push_back(r);
      } else if (a.transpose_a && !a.transpose_b && g_.meta(d).rank() == 2 &&
                 origin_of(n.inputs[1]) == origin_of(layer.inputs[0])) {
        c->dweight.push_back(r);
      } else {
        return false;
      }
    } else {
      return false;
    }
  }
  return true;
}

bool Splitter::depends(ValueId v, NodeId on) const {
  std::vector<ValueId> stack{v};
  std::vector<char> seen(g_.nodes.size(), 0);
  while (!stack.empty()) {
    const NodeId p = producer(stack.back());
    stack.pop_back();
    if (p == kNone || seen[p]++) continue;
    if (p == on) return true;
    stack.insert(stack.end(), node(p).inputs.begin(), node(p).inputs.end());
  }
  return false;
}

// Empty: `c` can be cut.
std::string Splitter::why_not(NodeId loss, Classifier* c) const {
  const Node& n = node(loss);
  const auto& a = *static_cast<const ops::CrossEntropyAttrs*>(n.attrs.get());
  if (!find_forward(loss, c))
    return "somebody else reads the logits, or no linear layer gives them";
  const TensorMeta &logits = g_.meta(n.inputs[0]), &weight = g_.meta(node(c->linear).inputs[1]);
  if (a.reduction == Reduction::kNone) return "its loss is not reduced";
  if (logits.rank() != 2 || logits.dim(1) != weight.dim(0)) return "its logits are no rows";
  if (!find_backward(node(c->grad).outputs[0], c)) return "somebody else reads their gradient";
  for (const NodeId r : readers_[n.outputs[1]]) {
    if (r != c->grad) return "somebody else reads lse";
  }
  if (depends(node(c->grad).inputs[0], loss)) return "the gradient of the loss depends on the loss";
  for (const NodeId id : {c->linear, c->grad}) {
    if (node(id).clone_group != n.clone_group) return "a part of it is computed again";
  }
  return "";
}

void Splitter::split(const Classifier& c) {
  // By value: add_node moves the nodes.
  const Node layer = node(c.linear), loss = node(c.loss), grad = node(c.grad);
  std::vector<int32_t> origins = merge_origins(layer.origins, loss.origins);
  AppendScope append(g_, grad, merge_origins(origins, grad.origins));
  const auto symbol = [&](ValueId v) { return append.symbol(renames_.resolve(v)); };
  const auto optional = [&](const Node& n, size_t i) {
    return i < n.inputs.size() ? symbol(n.inputs[i]) : Tensor();
  };
  const TensorMeta& logits = g_.meta(loss.inputs[0]);
  const int64_t rows = logits.dim(0);
  const DType loss_type = logits.dtype;
  const Tensor w = symbol(layer.inputs[1]), bias = optional(layer, 2);
  const DType type = w.dtype();
  const Tensor x = ops::reshape(symbol(layer.inputs[0]), {rows, w.dim(1)});
  const Tensor labels = symbol(loss.inputs[1]), weight = optional(loss, 2);
  auto attrs = *static_cast<const ops::CrossEntropyAttrs*>(loss.attrs.get());
  Tensor g = symbol(grad.inputs[0]), norm;
  if (attrs.reduction == Reduction::kMean) {
    const Tensor valid = ops::not_equal(labels, Scalar(attrs.ignore_index));
    Tensor counted = ops::cast(valid, g.dtype());
    if (weight.defined()) {
      const Tensor safe = ops::where(valid, labels, ops::zeros_like(labels));
      counted = ops::cast(ops::gather(weight, safe, 0), g.dtype()) * counted;
    }
    norm = ops::sum(counted);
    g = g / norm;
  }
  attrs.reduction = Reduction::kSum;
  const int64_t piece = std::max<int64_t>(
      (rows + kMostPieces * kRowsTogether - 1) / (kMostPieces * kRowsTogether) * kRowsTogether, 1);
  Tensor total;
  std::vector<Tensor> dx, dweight(c.dweight.size()), dbias(c.dbias.size());
  const auto add = [](Tensor* sum, const Tensor& t) { *sum = sum->defined() ? *sum + t : t; };
  for (int64_t begin = 0; begin < rows; begin += piece) {
    const int64_t end = std::min(rows, begin + piece);
    const Tensor xs = ops::slice_axis(x, 0, begin, end);
    const Tensor ls = ops::slice_axis(labels, 0, begin, end);
    const Tensor z = ops::cast(ops::linear(xs, w, bias), loss_type);
    Tensor terms[2];
    const Tensor in[] = {z, ls, weight};
    call(ops::kCrossEntropy, &attrs, in, terms);
    add(&total, terms[0]);
    const Tensor d =
        ops::cast(call1(ops::kCrossEntropyGrad, &attrs, {g, z, ls, terms[1], weight}), type);
    if (!c.dx.empty()) dx.push_back(ops::matmul(d, w));
    for (size_t k = 0; k < c.dweight.size(); ++k) {
      const auto& a = *static_cast<const ops::MatmulAttrs*>(node(c.dweight[k]).attrs.get());
      add(&dweight[k], ops::matmul(d, xs, a));
    }
    for (size_t k = 0; k < c.dbias.size(); ++k) {
      const auto& a = *static_cast<const ops::SumToShapeAttrs*>(node(c.dbias[k]).attrs.get());
      add(&dbias[k], call1(ops::kSumToShape, &a, {d}));
    }
  }
  const auto replace = [&](ValueId v, Tensor t) {
    const TensorMeta& old = g_.meta(v);
    if (!(t.shape() == old.shape)) t = ops::reshape(t, old.shape);
    renames_.put(v, append.value_of(ops::cast(t, old.dtype)));
  };
  replace(loss.outputs[0], norm.defined() ? total / norm : total);
  if (!c.dx.empty()) {
    const Tensor all = dx.size() == 1 ? dx[0] : ops::concat(dx, 0);
    for (const NodeId id : c.dx) replace(node(id).outputs[0], all);
  }
  for (size_t k = 0; k < c.dweight.size(); ++k) replace(node(c.dweight[k]).outputs[0], dweight[k]);
  for (size_t k = 0; k < c.dbias.size(); ++k) replace(node(c.dbias[k]).outputs[0], dbias[k]);
}

Status Splitter::run() {
  gone_.assign(g_.nodes.size(), 0);
  std::vector<std::optional<Classifier>> at(g_.nodes.size());  // by gradient of the loss
  bool any = false;
  for (const NodeId id : g_.order) {
    const Node& n = node(id);
    if (n.op != &ops::kCrossEntropy || g_.meta(n.inputs[0]).nbytes() < least_bytes_) continue;
    Classifier c;
    if (const std::string why = why_not(id, &c); !why.empty()) {
      remark_refused(g_, {id}, why);
      continue;
    }
    any = true;
    remark_done(g_, {c.linear, c.loss, c.grad});
    for (const NodeId part : {c.linear, c.loss, c.grad}) gone_[part] = 1;
    for (const auto* parts : {&c.between, &c.dx, &c.dweight, &c.dbias}) {
      for (const NodeId part : *parts) gone_[part] = 1;
    }
    at[c.grad] = std::move(c);
  }
  if (!any) return Status();
  const std::vector<NodeId> old = std::move(g_.order);
  g_.order.clear();
  for (const NodeId id : old) {
    if (at[id]) split(*at[id]);
    if (!gone_[id]) g_.order.push_back(id);
  }
  g_.replace_uses(renames_.map());
  return sort_topologically(g_);
}

}  // namespace

Status split_classifier_above(Graph& g, int64_t bytes) { return Splitter(g, bytes).run(); }

// Below that nobody misses the memory.
Status split_classifier(Graph& g) { return split_classifier_above(g, 256 << 20); }

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Purpose: one form for equal meanings, so that later passes see less. Requires: nothing.
// Guarantees: no cast to the same dtype, no contiguous of a row-major value, no chain of reshapes,
// no transpose that undoes the one before it, no multiplication or division by exactly one, no
// stop_gradient (differentiation is done), no elementwise op that reads broadcast_to where it
// broadcasts by itself; a reduction whose result only comes back with its dimensions keeps them.
// Bits do not change.
#include <algorithm>

#include "rutile/graph/pass/inference.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/rewriter.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

class Canonicalizer {
 public:
  explicit Canonicalizer(Graph& g) : g_(g), rw_((keep_dimensions(), g)) {}
  Status run() {
    for (NodeId id : rw_.old_order()) {
      rw_.resolved(id);
      read_unbroadcast(id);
      const Node& n = g_.nodes[id];
      const ValueId same = equal_value(n);
      if (same != kNone) {
        rw_.replace(n.outputs[0], same);
        continue;
      }
      shorten(id);
      rw_.keep(id);
    }
    rw_.finish();
    // Nobody but dce would drop those that are read no longer, and it may be off.
    const std::vector<int> uses = g_.count_uses();
    std::erase_if(g_.order, [&](NodeId id) {
      const Node& n = g_.nodes[id];
      return n.op == &ops::kBroadcastTo && uses[n.outputs[0]] == 0;
    });
    return Status();
  }

 private:
  const Node* producer(ValueId v) const {
    const NodeId id = v == kNone ? kNone : g_.values[v].producer;
    return id == kNone ? nullptr : &g_.nodes[id];
  }
  bool is_one(ValueId v) const {
    const Value& c = g_.values[v];
    return c.kind == ValueKind::kConstant && c.meta.numel() == 1 && !is_complex(c.meta.dtype) &&
           !may_change(c.constant) && c.constant.item() == 1.0;
  }
  bool same_meta(ValueId a, ValueId b) const { return g_.meta(a) == g_.meta(b); }

  // An existing value that equals the node's result, or kNone.
  ValueId equal_value(const Node& n) const {
    const ValueId out = n.outputs.empty() ? kNone : n.outputs[0];
    const ValueId in = n.inputs.empty() ? kNone : n.inputs[0];
    if (out == kNone || in == kNone) return kNone;
    if (n.op == &ops::kStopGradient) return in;
    if ((n.op == &ops::kCast || n.op == &ops::kContiguous || n.op == &ops::kReshape ||
         n.op == &ops::kTranspose || n.op == &ops::kBroadcastTo) &&
        same_meta(in, out)) {
      // A transpose of equal dimensions keeps the meta only if it keeps the strides.
      return n.op == &ops::kTranspose && !g_.meta(in).is_contiguous() ? kNone : in;
    }
    if (n.op == &ops::kMul || n.op == &ops::kDiv) {
      if (is_one(n.inputs[1]) && same_meta(in, out)) return in;
      if (n.op == &ops::kMul && is_one(in) && same_meta(n.inputs[1], out)) return n.inputs[1];
    }
    if (n.op == &ops::kTranspose) {
      const Node* p = producer(in);
      if (p && p->op == &ops::kTranspose && same_meta(p->inputs[0], out) && undoes(*p, n)) {
        return p->inputs[0];
      }
    }
    return kNone;
  }
  bool undoes(const Node& first, const Node& second) const {
    const int rank = g_.meta(first.inputs[0]).rank();
    auto perm = [&](const Node& n, int i) {
      const Dims& p = static_cast<const ops::TransposeAttrs*>(n.attrs.get())->perm;
      const int64_t d = p.empty() ? rank - 1 - i : p[i];
      return static_cast<int>(d < 0 ? d + rank : d);
    };
    for (int i = 0; i < rank; ++i) {
      if (perm(first, perm(second, i)) != i) return false;
    }
    return true;
  }
  // reshape(reshape(x)) reads x, where x has such a view.
  void shorten(NodeId id) {
    Node& n = g_.nodes[id];
    if (n.op != &ops::kReshape) return;
    const Node* p = producer(n.inputs[0]);
    if (p && p->op == &ops::kReshape && g_.meta(p->inputs[0]).is_contiguous()) {
      n.inputs[0] = p->inputs[0];
    }
  }

  // A reduction whose result is read only where its dimensions come back (reshape, broadcast_to)
  // keeps them: those readers need no step of their own then.
  void keep_dimensions() {
    std::vector<std::vector<NodeId>> readers(g_.values.size());
    for (NodeId id : g_.order) {
      for (ValueId v : g_.nodes[id].inputs) {
        if (v != kNone) readers[v].push_back(id);
      }
    }
    const std::vector<int> uses = g_.count_uses();
    for (NodeId id : g_.order) {
      Node& n = g_.nodes[id];
      uint32_t reduced = 0;
      SmallVector<const TensorMeta*, 6> in;
      SmallVector<TensorMeta, 2> out;
      if (n.op == &ops::kSumToShape || n.outputs.size() != 1 ||
          !ops::fusible_reduction(g_.call_meta(n, &in, &out), &reduced))
        continue;
      const ValueId y = n.outputs[0];
      const Shape kept = ops::kept_shape(in[0]->shape, reduced);
      const bool all = static_cast<int>(readers[y].size()) == uses[y] && uses[y] > 0 &&
                       !(g_.meta(y).shape == kept);
      if (!all || !std::all_of(readers[y].begin(), readers[y].end(),
                               [&](NodeId r) { return restores(g_.nodes[r], kept, reduced); }))
        continue;
      const int field = field_index(*n.op->attrs, "keepdims");
      if (field < 0 || !n.op->attrs->set(n.attrs.get_mutable(), field, true).ok()) continue;
      g_.values[y].meta = TensorMeta(kept, g_.meta(y).dtype, g_.meta(y).device);
      for (NodeId r : readers[y]) {
        if (g_.nodes[r].op != &ops::kBroadcastTo) continue;
        static_cast<ops::BroadcastToAttrs*>(g_.nodes[r].attrs.get_mutable())->axes = {};
      }
    }
  }
  bool restores(const Node& n, const Shape& kept, uint32_t reduced) const {
    const Shape& to = g_.meta(n.outputs[0]).shape;
    if (n.op == &ops::kReshape) return to == kept;
    if (n.op != &ops::kBroadcastTo || to.rank() != kept.rank()) return false;
    return lacking(n) == reduced;
  }
  // Mask of the dimensions that a broadcast_to adds.
  uint32_t lacking(const Node& n) const {
    const int rank = g_.meta(n.outputs[0]).rank();
    const Dims& axes = static_cast<const ops::BroadcastToAttrs*>(n.attrs.get())->axes;
    uint32_t mask = (1u << (rank - g_.meta(n.inputs[0]).rank())) - 1;
    if (axes.empty()) return mask;
    mask = 0;
    for (const int64_t a : axes) mask |= 1u << (a < 0 ? a + rank : a);
    return mask;
  }

  // The value that a broadcast_to at v spreads, with dimensions that right-align; kNone if it needs
  // other ones.
  ValueId spread_value(ValueId v, const Node& like) {
    const Node* p = producer(v);
    if (!p || p->op != &ops::kBroadcastTo) return kNone;
    const ValueId from = p->inputs[0];
    if (static_cast<const ops::BroadcastToAttrs*>(p->attrs.get())->axes.empty()) return from;
    const TensorMeta& small = g_.meta(from);
    if (small.numel() == 1) return from;
    if (!small.is_contiguous()) return kNone;
    const uint32_t lacks = lacking(*p);
    Shape shape;
    for (int d = 0, at = 0; d < g_.meta(v).rank(); ++d) {
      shape.push_back(lacks >> d & 1u ? 1 : small.shape[at++]);
    }
    ops::ReshapeAttrs attrs;
    for (const int64_t n : shape) attrs.shape.push_back(n);
    const TensorMeta meta(shape, small.dtype, small.device);
    const NodeId id =
        rw_.insert(ops::kReshape, AnyAttrs(ops::kReshape.attrs, &attrs), {from}, {&meta, 1}, like);
    return g_.nodes[id].outputs[0];
  }

  void read_unbroadcast(NodeId id) {
    if (!g_.nodes[id].op->elementwise || g_.nodes[id].outputs.size() != 1) return;
    // fuse_norm_act gives it to a norm, which wants a gradient of full shape.
    if (g_.nodes[id].op == &ops::kReluGrad) return;
    for (size_t k = 0; k < g_.nodes[id].inputs.size(); ++k) {
      const ValueId v = g_.nodes[id].inputs[k];
      const Node* p = producer(v);
      if (!p || p->op != &ops::kBroadcastTo) continue;
      // The others must give the shape without it.
      Shape rest;
      bool fits = true;
      for (size_t j = 0; j < g_.nodes[id].inputs.size(); ++j) {
        if (j == k) continue;
        Shape all;
        fits = fits && broadcast_shapes(rest, g_.meta(g_.nodes[id].inputs[j]).shape, &all).ok();
        rest = all;
      }
      if (!fits || !(rest == g_.meta(g_.nodes[id].outputs[0]).shape)) continue;
      const Node like = g_.nodes[id];
      const ValueId from = spread_value(v, like);
      if (from != kNone) g_.nodes[id].inputs[k] = from;
    }
  }

  Graph& g_;
  Rewriter rw_;
};

}  // namespace

Status canonicalize(Graph& g) { return Canonicalizer(g).run(); }

}  // namespace rutile::graph

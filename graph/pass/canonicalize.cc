// SPDX-License-Identifier: Apache-2.0
// Purpose: one form for equal meanings, so that later passes see less. Requires: nothing.
// Guarantees: no cast to the same dtype, no contiguous of a row-major value, no chain of reshapes,
// no transpose that undoes the one before it, no multiplication or division by exactly one. Bits do
// not change.
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/rewriter.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

class Canonicalizer {
 public:
  explicit Canonicalizer(Graph& g) : g_(g), rw_(g) {}
  Status run() {
    for (NodeId id : rw_.old_order()) {
      const Node& n = rw_.resolved(id);
      const ValueId same = equal_value(n);
      if (same != kNone) {
        rw_.replace(n.outputs[0], same);
        continue;
      }
      shorten(id);
      rw_.keep(id);
    }
    rw_.finish();
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
           c.constant.item() == 1.0;
  }
  bool same_meta(ValueId a, ValueId b) const { return g_.meta(a) == g_.meta(b); }

  // An existing value that equals the node's result, or kNone.
  ValueId equal_value(const Node& n) const {
    const ValueId out = n.outputs.empty() ? kNone : n.outputs[0];
    const ValueId in = n.inputs.empty() ? kNone : n.inputs[0];
    if (out == kNone || in == kNone) return kNone;
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

  Graph& g_;
  Rewriter rw_;
};

}  // namespace

Status canonicalize(Graph& g) { return Canonicalizer(g).run(); }

}  // namespace rutile::graph

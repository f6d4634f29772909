// SPDX-License-Identifier: Apache-2.0
// Purpose: sums of many terms, as gradients of what is used many times come (a weight in every step
// of a loop, a tensor cut in slices), become one op: gradients of disjoint slices one
// concatenation, products of one shape one product of the factors side by side, sums over their
// rows one sum. Requires: cse has run. Guarantees: only additions whose result nobody else reads
// are taken apart; sums are those of the single terms within rounding.
#include <algorithm>
#include <map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

constexpr size_t kMinProducts = 3;

// Where a slice lies in its tensor: one axis, a range without steps.
struct Range {
  int axis = kNone;
  int64_t start = 0, end = 0;
};

class SumMerger {
 public:
  explicit SumMerger(Graph& g) : g_(g), uses_(g.count_uses()) {}
  Status run();

 private:
  struct Sum {
    NodeId root;
    std::vector<ValueId> terms;
  };
  bool is_addition(NodeId id) const;
  bool continues(ValueId v, const Node& root) const;
  std::vector<Sum> find_sums() const;
  const Node* term_of(ValueId v, const OpDef& op) const;
  Status merge_slices(Sum& sum);
  Status merge_products(Sum& sum);
  Status merge_row_sums(Sum& sum);
  void place_added();
  Status replace(const Sum& sum);

  // A node that will stand before the root, with its origins and phase.
  Status insert(const OpDef& op, const void* attrs, std::vector<ValueId> in, NodeId root,
                ValueId* out);
  Status concat(const std::vector<ValueId>& parts, int64_t axis, NodeId root, ValueId* out);

  Graph& g_;
  std::vector<int> uses_;
  std::map<NodeId, std::vector<NodeId>> added_;  // by root
  std::map<std::pair<std::vector<ValueId>, int64_t>, ValueId> concats_;
  Renames renames_;
};

bool SumMerger::is_addition(NodeId id) const {
  const Node& n = g_.nodes[id];
  return n.op == &ops::kAdd && g_.meta(n.inputs[0]) == g_.meta(n.outputs[0]) &&
         g_.meta(n.inputs[1]) == g_.meta(n.outputs[0]);
}

// Whether v is read by its sum alone and so belongs to it.
bool SumMerger::continues(ValueId v, const Node& root) const {
  const NodeId p = g_.values[v].producer;
  return p != kNone && uses_[v] == 1 && g_.nodes[p].phase == root.phase &&
         g_.nodes[p].clone_group == root.clone_group;
}

std::vector<SumMerger::Sum> SumMerger::find_sums() const {
  std::vector<char> inside(g_.nodes.size(), 0);
  std::vector<Sum> sums;
  for (auto it = g_.order.rbegin(); it != g_.order.rend(); ++it) {
    if (inside[*it] || !is_addition(*it)) continue;
    const Node& root = g_.nodes[*it];
    Sum sum{*it, {}};
    std::vector<ValueId> stack{root.inputs[1], root.inputs[0]};
    while (!stack.empty()) {
      const ValueId v = stack.back();
      stack.pop_back();
      const NodeId p = g_.values[v].producer;
      if (!continues(v, root) || !is_addition(p)) {
        sum.terms.push_back(v);
        continue;
      }
      inside[p] = 1;
      stack.push_back(g_.nodes[p].inputs[1]);
      stack.push_back(g_.nodes[p].inputs[0]);
    }
    sums.push_back(std::move(sum));
  }
  std::reverse(sums.begin(), sums.end());
  return sums;
}

Status SumMerger::insert(const OpDef& op, const void* attrs, std::vector<ValueId> in, NodeId root,
                         ValueId* out) {
  SmallVector<const TensorMeta*, 6> metas;
  for (ValueId v : in) metas.push_back(&g_.meta(v));
  SmallVector<TensorMeta, 1> result;
  RUTILE_RETURN_IF_ERROR(infer_call(CallMeta{&op, attrs, metas, {}}, &result));
  const Node like = g_.nodes[root];
  const NodeId id = g_.add_node(op, AnyAttrs(op.attrs, attrs), std::move(in), {&result[0], 1},
                                like.origins, like.phase);
  g_.nodes[id].clone_group = like.clone_group;
  added_[root].push_back(id);
  *out = g_.nodes[id].outputs[0];
  return Status();
}

Status SumMerger::concat(const std::vector<ValueId>& parts, int64_t axis, NodeId root,
                         ValueId* out) {
  auto [it, fresh] = concats_.emplace(std::pair(parts, axis), kNone);
  if (fresh) {
    const ops::ConcatAttrs attrs{axis};
    RUTILE_RETURN_IF_ERROR(insert(ops::kConcat, &attrs, parts, root, &it->second));
  }
  *out = it->second;
  return Status();
}

// The node that gives a term, if it is of this op.
const Node* SumMerger::term_of(ValueId v, const OpDef& op) const {
  const NodeId p = g_.values[v].producer;
  const bool old = static_cast<size_t>(v) < uses_.size();
  return old && p != kNone && uses_[v] == 1 && g_.nodes[p].op == &op ? &g_.nodes[p] : nullptr;
}

Range range_of(const ops::SliceGradAttrs& a) {
  Range r;
  for (int d = 0; d < a.starts.rank(); ++d) {
    const int64_t size = a.shape[d];
    if (!a.steps.empty() && a.steps[d] != 1) return {};
    const auto place = [size](int64_t i) {
      return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
    };
    const int64_t start = place(a.starts[d]), end = place(a.ends[d]);
    if (start == 0 && end == size) continue;
    if (r.axis != kNone) return {};
    r = {d, start, end};
  }
  return r;
}

Status SumMerger::merge_slices(Sum& sum) {
  struct Slice {
    Range range;
    ValueId term, part;
  };
  std::map<int, std::vector<Slice>> by_axis;
  for (ValueId v : sum.terms) {
    const Node* n = term_of(v, ops::kSliceGrad);
    if (!n) continue;
    const Range r = range_of(*static_cast<const ops::SliceGradAttrs*>(n->attrs.get()));
    if (r.axis != kNone && r.start < r.end) by_axis[r.axis].push_back({r, v, n->inputs[0]});
  }
  const TensorMeta whole = g_.meta(g_.nodes[sum.root].outputs[0]);
  ScopedValue<Device> there(call_modes().device, whole.device);
  for (auto& [axis, slices] : by_axis) {
    std::sort(slices.begin(), slices.end(),
              [](const Slice& a, const Slice& b) { return a.range.start < b.range.start; });
    bool apart = slices.size() > 1;
    for (size_t i = 1; i < slices.size(); ++i) {
      apart = apart && slices[i - 1].range.end <= slices[i].range.start;
    }
    if (!apart) continue;
    std::vector<ValueId> parts;
    int64_t at = 0;
    const auto fill_to = [&](int64_t start) {
      if (at == start) return Status();
      ops::FullAttrs zeros{whole.shape, 0, whole.dtype};
      zeros.shape[axis] = start - at;
      parts.push_back(kNone);
      return insert(ops::kFull, &zeros, {}, sum.root, &parts.back());
    };
    for (const Slice& s : slices) {
      RUTILE_RETURN_IF_ERROR(fill_to(s.range.start));
      parts.push_back(s.part);
      at = s.range.end;
    }
    RUTILE_RETURN_IF_ERROR(fill_to(whole.shape[axis]));
    ValueId joined = kNone;
    RUTILE_RETURN_IF_ERROR(concat(parts, axis, sum.root, &joined));
    for (const Slice& s : slices) std::erase(sum.terms, s.term);
    sum.terms.push_back(joined);
  }
  return Status();
}

Status SumMerger::merge_products(Sum& sum) {
  const OpDef& op = ops::kMatmul;
  for (size_t first = 0; first < sum.terms.size(); ++first) {
    const Node* lead = term_of(sum.terms[first], op);
    if (!lead) continue;
    const TensorMeta x = g_.meta(lead->inputs[0]), y = g_.meta(lead->inputs[1]);
    if (x.rank() != 2 || y.rank() != 2) continue;
    const auto attrs = *static_cast<const ops::MatmulAttrs*>(lead->attrs.get());
    const int inner_x = attrs.transpose_a ? 0 : 1, inner_y = attrs.transpose_b ? 1 : 0;
    std::vector<ValueId> terms, xs, ys;
    for (ValueId v : sum.terms) {
      const Node* n = term_of(v, op);
      if (!n || !op.attrs->equal(n->attrs.get(), &attrs) || !(g_.meta(n->inputs[0]) == x) ||
          !(g_.meta(n->inputs[1]) == y)) {
        continue;
      }
      terms.push_back(v);
      xs.push_back(n->inputs[0]);
      ys.push_back(n->inputs[1]);
    }
    // Copying the factors must cost clearly less than adding the results up.
    const int64_t m = x.dim(1 - inner_x), n = y.dim(1 - inner_y), k = x.dim(inner_x);
    if (terms.size() < kMinProducts || 4 * k * (m + n) > 3 * m * n) continue;
    ValueId both_x = kNone, both_y = kNone, product = kNone;
    RUTILE_RETURN_IF_ERROR(concat(xs, inner_x, sum.root, &both_x));
    RUTILE_RETURN_IF_ERROR(concat(ys, inner_y, sum.root, &both_y));
    RUTILE_RETURN_IF_ERROR(insert(op, &attrs, {both_x, both_y}, sum.root, &product));
    for (ValueId v : terms) std::erase(sum.terms, v);
    sum.terms.push_back(product);
    first = static_cast<size_t>(-1);  // the terms have changed
  }
  return Status();
}

// Gradients of a bias: sums over the rows of matrices that stand side by side already.
Status SumMerger::merge_row_sums(Sum& sum) {
  const OpDef& op = ops::kSumToShape;
  std::vector<ValueId> terms, rows;
  const Node* lead = nullptr;
  for (ValueId v : sum.terms) {
    const Node* n = term_of(v, op);
    if (!n || g_.meta(n->inputs[0]).rank() != 2 || g_.meta(v).rank() != 1) continue;
    if (!lead) lead = n;
    if (!op.attrs->equal(n->attrs.get(), lead->attrs.get())) continue;
    terms.push_back(v);
    rows.push_back(n->inputs[0]);
  }
  const auto found = concats_.find({rows, 0});
  if (found == concats_.end()) return Status();
  const auto attrs = *static_cast<const ops::SumToShapeAttrs*>(lead->attrs.get());
  ValueId all = kNone;
  RUTILE_RETURN_IF_ERROR(insert(op, &attrs, {found->second}, sum.root, &all));
  for (ValueId v : terms) std::erase(sum.terms, v);
  sum.terms.push_back(all);
  return Status();
}

Status SumMerger::replace(const Sum& sum) {
  ValueId total = sum.terms[0];
  for (size_t i = 1; i < sum.terms.size(); ++i) {
    RUTILE_RETURN_IF_ERROR(insert(ops::kAdd, nullptr, {total, sum.terms[i]}, sum.root, &total));
  }
  renames_.put(g_.nodes[sum.root].outputs[0], total);
  return Status();
}

void SumMerger::place_added() {
  std::vector<NodeId> order;
  for (NodeId id : g_.order) {
    if (const auto it = added_.find(id); it != added_.end()) {
      order.insert(order.end(), it->second.begin(), it->second.end());
    }
    order.push_back(id);
  }
  g_.order = std::move(order);
}

Status SumMerger::run() {
  std::vector<Sum> sums = find_sums();
  std::vector<size_t> sizes;
  for (const Sum& s : sums) sizes.push_back(s.terms.size());
  for (Sum& s : sums) RUTILE_RETURN_IF_ERROR(merge_slices(s));
  for (Sum& s : sums) RUTILE_RETURN_IF_ERROR(merge_products(s));
  for (Sum& s : sums) RUTILE_RETURN_IF_ERROR(merge_row_sums(s));
  if (added_.empty()) return Status();
  for (size_t i = 0; i < sums.size(); ++i) {
    if (sums[i].terms.size() == sizes[i]) continue;
    RUTILE_RETURN_IF_ERROR(replace(sums[i]));
    remark_done(g_, {sums[i].root}, cat(sizes[i], " terms, ", sums[i].terms.size(), " left"));
  }
  place_added();
  g_.replace_uses(renames_.map());
  RUTILE_RETURN_IF_ERROR(sort_topologically(g_));
  return dce(g_);
}

}  // namespace

Status merge_sums(Graph& g) { return SumMerger(g).run(); }

}  // namespace rutile::graph

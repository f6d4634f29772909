// SPDX-License-Identifier: Apache-2.0
// Purpose: kernels whose results are joined afterwards write them where they belong: the gradients
// of queries, keys and values that attention gives are one tensor for the projection behind it, and
// the concatenation costs nothing. Requires: layout and fuse_elementwise have run. Guarantees: only
// results that nobody else reads, of ops listed below, and only where the kernel that writes them
// dense takes them with gaps, too. (Parts that lie together in the whole need no pass: lowering
// finds them, graph/plan/joins.h.)
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "rutile/core/placement.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/graph/plan/joins.h"
#include "rutile/ops/attention.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

// Their kernels step from row to row anyway, with or without gaps.
bool writes_rows(const Node& n) { return n.op == &ops::kAttentionGrad; }

// The strides that elements of a dense `m` have when blocks of `block` elements, which follow each
// other, come to lie `step` elements apart; false where a dimension goes over the end of a block.
bool spread(const TensorMeta& m, int64_t block, int64_t step, Strides* out) {
  *out = m.strides;
  for (int d = 0; d < m.rank(); ++d) {
    const int64_t s = m.strides[d];
    if (m.dim(d) == 1) continue;
    if (s % block == 0) {
      (*out)[d] = s / block * step;
    } else if (s * m.dim(d) > block || block % (s * m.dim(d)) != 0) {
      return false;
    }
  }
  return true;
}

class SliceJoiner {
 public:
  explicit SliceJoiner(Graph& g) : g_(g), reader_(only_readers(g)) {}
  Status run();

 private:
  // A part of a concatenation: the value joined and the views before it, up to the kernel's result.
  struct Part {
    std::vector<ValueId> chain;  // from the result on
    std::vector<TensorMeta> metas;
  };
  bool find(const Node& concat, size_t i, Part* part) const;
  bool infer_chain(const Part& part, const Slice& slice, std::vector<TensorMeta>* metas) const;
  bool takes(NodeId kernel, const std::map<ValueId, TensorMeta>& metas);
  void join(NodeId concat);

  Graph& g_;
  const std::vector<NodeId> reader_;
  std::map<std::string, bool> taken_;  // by call: layers are alike
};

bool SliceJoiner::find(const Node& concat, size_t i, Part* part) const {
  ValueId v = concat.inputs[i];
  if (v == kNone || !g_.meta(v).is_contiguous()) return false;
  const TensorMeta whole = g_.meta(v);
  for (;;) {
    const NodeId p = g_.values[v].producer;
    if (p == kNone || reader_[v] == kNone || g_.meta(v).layout != kStrided) return false;
    part->chain.insert(part->chain.begin(), v);
    const Node& n = g_.nodes[p];
    if (!n.op->view_offset) {
      const TensorMeta& m = g_.meta(v);
      return writes_rows(n) && m.is_dense() && m.numel() == whole.numel();
    }
    v = n.inputs[n.op->alias_input(g_.values[v].output_index)];
    if (g_.meta(v).numel() != whole.numel()) return false;
  }
}

// The metas of the chain if the part lies as the slice; false where a view cannot show that.
bool SliceJoiner::infer_chain(const Part& part, const Slice& slice,
                              std::vector<TensorMeta>* metas) const {
  const TensorMeta& last = g_.meta(part.chain.back());
  // Everything from the first dimension on whose stride in the whole is another.
  int64_t block = last.numel(), step = last.numel();
  for (int d = last.rank() - 1; d >= 0; --d) {
    if (last.dim(d) == 1 || last.strides[d] == slice.strides[d]) continue;
    block = last.strides[d];
    step = slice.strides[d];
    break;
  }
  TensorMeta m = g_.meta(part.chain.front());
  Strides strides;
  if (!spread(m, block, step, &strides)) return false;
  m.strides = strides;
  metas->push_back(m);
  for (size_t k = 1; k < part.chain.size(); ++k) {
    const Node& n = g_.nodes[g_.values[part.chain[k]].producer];
    if (n.inputs.size() != 1 || n.outputs.size() != 1) return false;
    const TensorMeta* in = &metas->back();
    SmallVector<TensorMeta, 1> out;
    if (!infer_call(CallMeta{n.op, n.attrs.get(), {&in, 1}, {}}, &out).ok()) return false;
    metas->push_back(out[0]);
  }
  TensorMeta wanted = last;
  wanted.strides = slice.strides;
  return same_placement(metas->back(), wanted);
}

// Whether the row that takes the kernel's call now takes it with those results as well.
bool SliceJoiner::takes(NodeId kernel, const std::map<ValueId, TensorMeta>& metas) {
  const Node& n = g_.nodes[kernel];
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> dense;
  CallMeta call = g_.call_meta(n, &in, &dense);
  const DeviceType device = dense[0].device.type;
  SmallVector<TensorMeta, 2> spaced = dense;
  for (size_t i = 0; i < n.outputs.size(); ++i) {
    if (const auto at = metas.find(n.outputs[i]); at != metas.end()) {
      spaced[static_cast<int>(i)] = at->second;
    }
  }
  std::string key = attrs_to_string(*n.op->attrs, n.attrs.get(), /*all=*/true);
  for (const TensorMeta* m : in) key += m ? cat(*m, to_string(m->strides), " ") : "none ";
  for (const TensorMeta& m : spaced) key += cat(m, to_string(m.strides), " ");
  const auto [at, fresh] = taken_.emplace(key, false);
  if (!fresh) return at->second;
  const KernelRow* const now = first_row(call, device, Rows::kFast);
  call.outputs = spaced;
  const KernelRow* const then = first_row(call, device, Rows::kFast);
  if (!now || !then || std::strcmp(now->name, then->name) != 0) return false;
  std::shared_ptr<const Plan> plan;
  at->second = make_plan(call, device, &plan, Rows::kFast).ok();
  return at->second;
}

void SliceJoiner::join(NodeId id) {
  const Node& concat = g_.nodes[id];
  const TensorMeta& whole = g_.meta(concat.outputs[0]);
  if (concat.inputs.size() < 2 || !whole.is_contiguous() || whole.numel() == 0) return;
  std::vector<Part> parts(concat.inputs.size());
  std::map<ValueId, TensorMeta> metas;
  std::set<NodeId> kernels;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!find(concat, i, &parts[i])) return;
    std::vector<TensorMeta>& chain = parts[i].metas;
    const Slice slice = slice_of(g_, concat, i);
    if (!begins_aligned(slice, whole.dtype) || !infer_chain(parts[i], slice, &chain)) return;
    for (size_t k = 0; k < chain.size(); ++k) metas.emplace(parts[i].chain[k], chain[k]);
    kernels.insert(g_.values[parts[i].chain.front()].producer);
  }
  for (const NodeId kernel : kernels) {
    if (takes(kernel, metas)) continue;
    remark_refused(g_, {id, kernel}, "the kernel before it writes no rows with gaps");
    return;
  }
  for (const auto& [v, m] : metas) g_.values[v].meta = m;
  remark_done(g_, {id, *kernels.begin()});
}

Status SliceJoiner::run() {
  for (const NodeId id : g_.order) {
    if (g_.nodes[id].op == &ops::kConcat) join(id);
  }
  return Status();
}

}  // namespace

Status join_slices(Graph& g) { return SliceJoiner(g).run(); }

}  // namespace rutile::graph

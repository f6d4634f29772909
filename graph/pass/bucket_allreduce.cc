// SPDX-License-Identifier: Apache-2.0
// Purpose: gradients travel together and while backward still runs. all_reduce nodes that allow it
// (attribute fusion) become buckets of one all_reduce_start, right behind the last gradient it
// takes, and one all_reduce_wait behind backward; their results are views of the bucket. What
// stands between a gradient and its all_reduce (sums of accumulated batches) moves up with it.
// Requires: nothing. Guarantees: members of a bucket share group, reduction and dtypes and do not
// depend on one another; buckets are made and started in the order in which gradients become ready,
// which is the same on all ranks because the graph is.
#include <algorithm>
#include <map>
#include <tuple>

#include "rutile/graph/pass/append.h"
#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/view.h"

namespace rutile::graph {

namespace {

// The first one is small: something travels early. So is the last one, which nothing is left to
// hide: what is ready before goes ahead.
constexpr double kSmallMegabytes = 1;

const ops::AllReduceAttrs& attrs_of_node(const Node& n) {
  return *static_cast<const ops::AllReduceAttrs*>(n.attrs.get());
}

bool fusable(const Node& n) { return n.op == &ops::kAllReduce && attrs_of_node(n).fusion != 0; }

double megabytes(const TensorMeta& m) {
  return static_cast<double>(m.numel()) * static_cast<double>(dtype_size(m.dtype)) / 1e6;
}

struct Bucket {
  std::vector<NodeId> members;
  int ready = -1;  // position behind which all of it is there
};

class Buckets {
 public:
  explicit Buckets(Graph& g) : g_(g), position_(g.positions()), ready_(ready_positions(g)) {}

  Status run() {
    collect();
    if (buckets_.empty()) return Status();
    reorder();
    return sort_topologically(g_);
  }

 private:
  void collect();
  void cut_tail();
  void move_up(NodeId id);
  int ready_of(const Node& n);
  void add_start(const Bucket& b);
  void add_results(const Bucket& b, ValueId flat);
  void reorder();
  std::vector<int> levels() const;
  AppendScope appending(const Bucket& b, Phase phase) {
    Node like = g_.nodes[b.members[0]];
    like.phase = phase;
    std::vector<int32_t> origins;
    for (NodeId id : b.members) origins = merge_origins(origins, g_.nodes[id].origins);
    return AppendScope(g_, like, std::move(origins));
  }

  Graph& g_;
  const std::vector<int> position_, ready_;
  std::vector<Bucket> buckets_;
  std::vector<char> moves_;  // by node: stands behind ready_ from now on
  std::vector<ValueId> flats_;
  Renames renames_;
};

// By node: how many fusable nodes lie on the longest path to it.
std::vector<int> Buckets::levels() const {
  std::vector<int> of_value(g_.values.size(), 0), of_node(g_.nodes.size(), 0);
  for (NodeId id : g_.order) {
    const Node& n = g_.nodes[id];
    int level = 0;
    for (ValueId v : n.inputs) {
      if (v != kNone) level = std::max(level, of_value[v]);
    }
    of_node[id] = level;
    for (ValueId v : n.outputs) of_value[v] = level + (fusable(n) ? 1 : 0);
  }
  return of_node;
}

// A node of the optimizer's phase that a gradient comes through, and what it needs.
void Buckets::move_up(NodeId id) {
  const Node& n = g_.nodes[id];
  if (moves_[id] || n.phase != Phase::kOptimizer || ready_[id] == position_[id]) return;
  moves_[id] = 1;
  for (ValueId v : n.inputs) {
    if (v != kNone && g_.values[v].producer != kNone) move_up(g_.values[v].producer);
  }
}

int Buckets::ready_of(const Node& n) {
  const NodeId producer = g_.values[n.inputs[0]].producer;
  return producer == kNone ? -1 : ready_[producer];
}

// Of the bucket that was made last.
void Buckets::cut_tail() {
  std::vector<NodeId>& members = buckets_.back().members;
  double room = std::min(kSmallMegabytes, attrs_of_node(g_.nodes[members[0]]).bucket_mb);
  size_t cut = members.size();
  for (; cut > 0; --cut) {
    room -= megabytes(g_.meta(g_.nodes[members[cut - 1]].inputs[0]));
    if (room < 0) break;
  }
  if (cut == 0 || cut == members.size()) return;
  Bucket tail;
  tail.members.assign(members.begin() + static_cast<std::ptrdiff_t>(cut), members.end());
  members.resize(cut);
  for (Bucket* b : {&buckets_.back(), &tail}) {
    b->ready = -1;
    for (NodeId id : b->members) b->ready = std::max(b->ready, ready_of(g_.nodes[id]));
  }
  buckets_.push_back(std::move(tail));
}

void Buckets::collect() {
  using Key = std::tuple<int, int64_t, std::string, Reduce, DType, DType, double>;
  std::map<Key, std::vector<NodeId>> groups;
  const std::vector<int> level = levels();
  for (NodeId id : g_.order) {
    const Node& n = g_.nodes[id];
    if (!fusable(n)) continue;
    const ops::AllReduceAttrs& a = attrs_of_node(n);
    const DType t = g_.meta(n.inputs[0]).dtype;
    groups[{level[id], a.fusion, a.group, a.reduce, t, a.wire.set ? a.wire.value : t, a.bucket_mb}]
        .push_back(id);
  }
  for (auto& [key, members] : groups) {
    std::stable_sort(members.begin(), members.end(), [&](NodeId a, NodeId b) {
      return ready_of(g_.nodes[a]) < ready_of(g_.nodes[b]);
    });
    double room = 0;
    bool first = true;
    for (NodeId id : members) {
      const ops::AllReduceAttrs& a = attrs_of_node(g_.nodes[id]);
      const double mb = megabytes(g_.meta(g_.nodes[id].inputs[0]));
      if (first || (a.fusion == -1 && mb > room)) {
        room = first ? std::min(kSmallMegabytes, a.bucket_mb) : a.bucket_mb;
        buckets_.emplace_back();
        first = false;
      }
      Bucket& b = buckets_.back();
      b.members.push_back(id);
      b.ready = std::max(b.ready, ready_of(g_.nodes[id]));
      room -= mb;
    }
    if (attrs_of_node(g_.nodes[members[0]]).fusion == -1) cut_tail();
  }
  std::stable_sort(buckets_.begin(), buckets_.end(),
                   [](const Bucket& a, const Bucket& b) { return a.ready < b.ready; });
}

void Buckets::add_start(const Bucket& b) {
  const ops::AllReduceAttrs a = attrs_of_node(g_.nodes[b.members[0]]);
  const ops::AllReduceManyAttrs many{.reduce = a.reduce, .group = a.group, .wire = a.wire};
  AppendScope scope = appending(b, Phase::kBackward);
  std::vector<Tensor> in;
  for (NodeId id : b.members) in.push_back(scope.symbol(g_.nodes[id].inputs[0]));
  const TensorList out = call_n(ops::kAllReduceStart, &many, in);
  flats_.push_back(scope.value_of(out[0]));
}

void Buckets::add_results(const Bucket& b, ValueId flat) {
  const ops::AllReduceAttrs a = attrs_of_node(g_.nodes[b.members[0]]);
  const ops::AllReduceManyAttrs many{.reduce = a.reduce, .group = a.group, .wire = a.wire};
  const DType dtype = g_.meta(g_.nodes[b.members[0]].inputs[0]).dtype;
  AppendScope scope = appending(b, Phase::kOptimizer);
  Tensor all = call1(ops::kAllReduceWait, &many, {scope.symbol(flat)});
  if (all.dtype() != dtype) all = ops::cast(all, dtype);
  int64_t at = 0;
  for (NodeId id : b.members) {
    const ValueId old = g_.nodes[id].outputs[0];
    const Shape shape = g_.meta(old).shape;
    const Tensor part = ops::reshape(ops::slice_axis(all, 0, at, at + shape.numel()), shape);
    at += shape.numel();
    renames_.put(old, scope.value_of(part));
  }
}

void Buckets::reorder() {
  const std::vector<NodeId> old = std::move(g_.order);
  g_.order.clear();
  moves_.assign(g_.nodes.size(), 0);
  std::vector<char> member(g_.nodes.size(), 0);
  std::vector<std::vector<size_t>> starts(old.size() + 1);  // by position + 1
  for (size_t b = 0; b < buckets_.size(); ++b) {
    starts[static_cast<size_t>(buckets_[b].ready + 1)].push_back(b);
    for (NodeId id : buckets_[b].members) {
      member[id] = 1;
      const NodeId producer = g_.values[g_.nodes[id].inputs[0]].producer;
      if (producer != kNone) move_up(producer);
    }
    remark_done(g_, buckets_[b].members);
  }
  std::vector<std::vector<NodeId>> behind(old.size() + 1);
  for (NodeId id : old) {
    if (moves_[id]) behind[static_cast<size_t>(ready_[id] + 1)].push_back(id);
  }
  size_t end = 0;  // of backward
  for (size_t i = 0; i < old.size(); ++i) {
    if (g_.nodes[old[i]].phase != Phase::kOptimizer || !starts[i + 1].empty()) end = i + 1;
  }
  auto place = [&](size_t at) {
    g_.order.insert(g_.order.end(), behind[at].begin(), behind[at].end());
    for (size_t b : starts[at]) add_start(buckets_[b]);
  };
  auto keep = [&](size_t i) {
    if (!moves_[old[i]] && !member[old[i]]) g_.order.push_back(old[i]);
  };
  place(0);
  for (size_t i = 0; i < end; ++i) {
    keep(i);
    place(i + 1);
  }
  for (size_t b = 0; b < buckets_.size(); ++b) add_results(buckets_[b], flats_[b]);
  for (size_t i = end; i < old.size(); ++i) {
    keep(i);
    g_.order.insert(g_.order.end(), behind[i + 1].begin(), behind[i + 1].end());
  }
  g_.replace_uses(renames_.map());
}

}  // namespace

Status bucket_allreduce(Graph& g) { return Buckets(g).run(); }

}  // namespace rutile::graph

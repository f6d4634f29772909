// SPDX-License-Identifier: Apache-2.0
// Purpose: neighbouring elementwise ops over one shape, and the reductions of what they compute,
// become one fused_elementwise node, so that what lies between them never reaches memory: chains,
// ops that read the same operand, sums of gradients, norms and softmax written as formulas (what a
// row comes to is read again by its elements). Requires: layout has run (placements are final).
// Guarantees: every group is convex (nothing outside stands between two members), has at least two
// members and a fast kernel for its operands as placed; results are those of the single ops within
// rounding.
#include <algorithm>
#include <map>

#include "rutile/graph/pass/pass.h"
#include "rutile/graph/pass/topological.h"
#include "rutile/graph/pass/uses.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/fused.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/ops/reduce.h"

namespace rutile::graph {

namespace {

constexpr size_t kMaxOutputs = 12;
constexpr int kMaxRounds = 16;
constexpr int kNear = 8;  // nodes between two that only share an operand

// What a member's result is to the others.
enum class Role : uint8_t {
  kNone,
  kFull,  // all elements
  kRow,   // one element per row
  kEnd,   // a reduction that no other member may read
};

class ElementwiseFusion {
 public:
  ElementwiseFusion(Graph& g, bool exact)
      : g_(g),
        exact_(exact),
        group_of_(g.nodes.size(), kNone),
        role_(g.nodes.size(), Role::kNone),
        banned_(g.nodes.size(), 0),
        most_(g.nodes.size(), ops::kMaxFusedSteps),
        mark_(g.nodes.size(), 0) {}
  Status run();

 private:
  struct Group {
    std::vector<NodeId> members;  // in order
    TensorMeta domain;
    uint32_t row_mask = 0;  // the dimensions of a row; 0: no member reduces rows
  };
  bool is_elementwise(const Node& n) const;
  bool is_reduction(const Node& n, uint32_t* reduced) const;
  Role role_in(NodeId id, const Group& c) const;
  Role role_of_reduction(const Node& n, uint32_t reduced, const Group& c) const;
  int horizon(int group) const;
  bool depends(NodeId id, int group, int other);
  bool may_join(NodeId id, int group);
  bool may_merge(int a, int b);
  void merge(int into, int from);
  std::vector<int> candidates(NodeId id) const;
  void place(NodeId id);
  void form_groups();
  struct Draft {
    std::vector<ValueId> in, out;
    std::vector<TensorMeta> metas;
    std::vector<int32_t> origins;
    std::string program;
    bool large = false;  // a part of the group may fit
  };
  Status draft(const Group& group, Draft* d) const;
  bool drop_refused();
  bool ban_unfit_sums(const Group& group);
  NodeId build(const Group& group, Renames* renames);
  std::string obstacle(NodeId from, NodeId to) const;
  void remark_neighbours();

  Graph& g_;
  const bool exact_;           // results are the bits of the single ops
  std::vector<int> group_of_;  // by node
  std::vector<Role> role_;
  std::vector<char> banned_;
  std::vector<int> most_;  // members that a group with this node may have
  std::vector<Group> groups_;
  std::vector<int> reader_group_;             // by value: the latest group that reads it
  std::vector<std::vector<NodeId>> readers_;  // by value; kNone for outputs and states
  std::vector<std::vector<NodeId>> before_;   // by node: what must run before it
  std::vector<int> position_;
  std::vector<int> mark_;  // of depends(): the round that saw the node
  int round_ = 0;
};

bool ElementwiseFusion::is_elementwise(const Node& n) const {
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  // Between the steps 16-bit floats are f32; only a cast rounds.
  if (exact_ && n.op != &ops::kCast && is_low_precision(g_.meta(n.outputs[0]).dtype)) return false;
  return n.op->elementwise && n.outputs.size() == 1 && n.op->mutate_mask == 0 &&
         ops::fusible(g_.call_meta(n, &in, &out));
}

bool ElementwiseFusion::is_reduction(const Node& n, uint32_t* reduced) const {
  SmallVector<const TensorMeta*, 6> in;
  SmallVector<TensorMeta, 2> out;
  return !exact_ && n.outputs.size() == 1 &&
         ops::fusible_reduction(g_.call_meta(n, &in, &out), reduced);
}

// The reduced dimensions are the inner ones of memory.
bool reduces_rows(const TensorMeta& m, uint32_t reduced) {
  if (m.layout != kStrided) return false;
  int64_t widest = 0, kept = INT64_MAX, elements = 1;
  for (int d = 0; d < m.rank(); ++d) {
    if (m.shape[d] == 1) continue;
    if (reduced >> d & 1u) {
      widest = std::max(widest, m.strides[d]);
      elements *= m.shape[d];
    } else {
      kept = std::min(kept, m.strides[d]);
    }
  }
  return widest < kept && elements <= kMaxRowElements;
}

Role ElementwiseFusion::role_of_reduction(const Node& n, uint32_t reduced, const Group& c) const {
  const ValueId x = n.inputs[0];
  const NodeId p = g_.values[x].producer;
  const bool inside = p != kNone && group_of_[p] != kNone && &groups_[group_of_[p]] == &c;
  if (inside ? role_[p] != Role::kFull : !same_placement(g_.meta(x), c.domain)) return Role::kNone;
  const TensorMeta& y = g_.meta(n.outputs[0]);
  const bool rows = y.shape == ops::kept_shape(c.domain.shape, reduced) &&
                    reduces_rows(c.domain, reduced) && (c.row_mask == 0 || c.row_mask == reduced);
  return rows ? Role::kRow : Role::kEnd;
}

Role ElementwiseFusion::role_in(NodeId id, const Group& c) const {
  const Node& n = g_.nodes[id];
  const Node& last = g_.nodes[c.members.back()];
  if (n.phase != last.phase || n.clone_group != last.clone_group ||
      static_cast<int>(c.members.size()) >= std::min(most_[id], most_[c.members.back()])) {
    return Role::kNone;
  }
  bool reads_row = false;
  for (ValueId v : n.inputs) {
    const NodeId p = v == kNone ? kNone : g_.values[v].producer;
    if (p == kNone || group_of_[p] == kNone || &groups_[group_of_[p]] != &c) continue;
    if (role_[p] == Role::kEnd) return Role::kNone;
    reads_row = reads_row || role_[p] == Role::kRow;
  }
  uint32_t reduced = 0;
  if (is_reduction(n, &reduced)) return role_of_reduction(n, reduced, c);
  const TensorMeta& y = g_.meta(n.outputs[0]);
  if (same_placement(y, c.domain)) return Role::kFull;
  const bool row =
      reads_row && y.is_contiguous() && y.shape == ops::kept_shape(c.domain.shape, c.row_mask);
  return row ? Role::kRow : Role::kNone;
}

// The latest position not after the group's first member that no other group reaches across: what
// ends before it cannot need the group.
int ElementwiseFusion::horizon(int group) const {
  int low = position_[groups_[group].members.front()];
  for (bool moved = true; moved;) {
    moved = false;
    for (const Group& c : groups_) {
      if (c.members.size() < 2) continue;
      const int first = position_[c.members.front()];
      if (first >= low || position_[c.members.back()] < low) continue;
      low = first;
      moved = true;
    }
  }
  return low;
}

// Whether the node must run behind a member of `group`; members of `other` are no way there.
bool ElementwiseFusion::depends(NodeId id, int group, int other) {
  const int first = horizon(group);
  ++round_;
  std::vector<NodeId> stack{id};
  while (!stack.empty()) {
    const NodeId n = stack.back();
    stack.pop_back();
    const int c = group_of_[n];
    if (c == group) return true;
    if (mark_[n] == round_ || (c != kNone && c == other)) continue;
    mark_[n] = round_;
    if (position_[c == kNone ? n : groups_[c].members.back()] < first) continue;
    if (c == kNone) {
      stack.insert(stack.end(), before_[n].begin(), before_[n].end());
      continue;
    }
    for (NodeId m : groups_[c].members) {
      mark_[m] = round_;
      stack.insert(stack.end(), before_[m].begin(), before_[m].end());
    }
  }
  return false;
}

bool ElementwiseFusion::may_join(NodeId id, int group) {
  return std::none_of(before_[id].begin(), before_[id].end(),
                      [&](NodeId p) { return group_of_[p] != group && depends(p, group, kNone); });
}

// Nothing outside may stand between the two.
bool ElementwiseFusion::may_merge(int a, int b) {
  const Group &x = groups_[a], &y = groups_[b];
  const Node &nx = g_.nodes[x.members[0]], &ny = g_.nodes[y.members[0]];
  if (!same_placement(x.domain, y.domain) || nx.phase != ny.phase ||
      nx.clone_group != ny.clone_group ||
      (x.row_mask != y.row_mask && x.row_mask != 0 && y.row_mask != 0) ||
      static_cast<int>(x.members.size() + y.members.size()) >=
          std::min(most_[x.members[0]], most_[y.members[0]])) {
    return false;
  }
  const auto between = [&](int first, int second) {
    for (NodeId m : groups_[second].members) {
      for (NodeId p : before_[m]) {
        if (group_of_[p] == first && role_[p] == Role::kEnd) return true;
        if (group_of_[p] != first && group_of_[p] != second && depends(p, first, second))
          return true;
      }
    }
    return false;
  };
  return !between(a, b) && !between(b, a);
}

void ElementwiseFusion::merge(int into, int from) {
  Group &x = groups_[into], &y = groups_[from];
  for (NodeId m : y.members) {
    group_of_[m] = into;
    x.members.push_back(m);
    for (ValueId v : g_.nodes[m].inputs) {
      if (v != kNone && reader_group_[v] == from) reader_group_[v] = into;
    }
  }
  x.row_mask |= y.row_mask;
  std::sort(x.members.begin(), x.members.end(),
            [&](NodeId a, NodeId b) { return position_[a] < position_[b]; });
  y.members.clear();
}

// Groups of the producers, the latest input first (its value is still in the cache), then those
// that read the same.
std::vector<int> ElementwiseFusion::candidates(NodeId id) const {
  const Node& n = g_.nodes[id];
  std::vector<int> found;
  const auto add = [&](int c) {
    if (c != kNone && std::find(found.begin(), found.end(), c) == found.end()) found.push_back(c);
  };
  for (size_t k = n.inputs.size(); k-- > 0;) {
    const NodeId p = n.inputs[k] == kNone ? kNone : g_.values[n.inputs[k]].producer;
    if (p != kNone) add(group_of_[p]);
  }
  for (ValueId v : n.inputs) {
    const int c = v == kNone ? kNone : reader_group_[v];
    if (c == kNone || groups_[c].members.empty()) continue;
    const bool full = same_placement(g_.meta(v), groups_[c].domain);
    if (full && position_[id] - position_[groups_[c].members.back()] <= kNear) add(c);
  }
  return found;
}

void ElementwiseFusion::place(NodeId id) {
  const Node& n = g_.nodes[id];
  uint32_t reduced = 0;
  const bool reduces = is_reduction(n, &reduced);
  if (banned_[id] || (!reduces && !is_elementwise(n))) return;
  int home = kNone;
  for (int c : candidates(id)) {
    if (home != kNone) {
      if (c != home && !groups_[c].members.empty() && may_merge(home, c)) merge(home, c);
      continue;
    }
    const Role role = role_in(id, groups_[c]);
    if (role == Role::kNone || !may_join(id, c)) continue;
    home = c;
    role_[id] = role;
    group_of_[id] = c;
    groups_[c].members.push_back(id);
    if (reduces && role == Role::kRow) groups_[c].row_mask = reduced;
  }
  if (home == kNone) {
    const TensorMeta& domain = g_.meta(reduces ? n.inputs[0] : n.outputs[0]);
    if (reduces && domain.layout == kStrided && !domain.is_dense()) return;
    home = group_of_[id] = static_cast<int>(groups_.size());
    groups_.push_back({{id}, domain, 0});
    role_[id] = reduces ? role_of_reduction(n, reduced, groups_[home]) : Role::kFull;
    if (role_[id] == Role::kRow) groups_[home].row_mask = reduced;
  }
  for (ValueId v : n.inputs) {
    if (v != kNone) reader_group_[v] = home;
  }
}

void ElementwiseFusion::form_groups() {
  groups_.clear();
  std::fill(group_of_.begin(), group_of_.end(), kNone);
  std::fill(role_.begin(), role_.end(), Role::kNone);
  reader_group_.assign(g_.values.size(), kNone);
  for (NodeId id : g_.order) place(id);
}

// The node that a group would become, or why it cannot be.
Status ElementwiseFusion::draft(const Group& group, Draft* d) const {
  const int id = group_of_[group.members[0]];
  std::map<ValueId, int> number;  // value -> its number in the program
  for (NodeId m : group.members) {
    for (ValueId v : g_.nodes[m].inputs) {
      const NodeId p = g_.values[v].producer;
      if ((p == kNone || group_of_[p] != id) &&
          number.emplace(v, static_cast<int>(d->in.size())).second) {
        d->in.push_back(v);
      }
    }
  }
  const auto refuse = [](std::string why) { return Status(ErrorCode::kUnsupported, why); };
  if (static_cast<int>(d->in.size()) > ops::kMaxFusedInputs) {
    d->large = true;
    return refuse("too many inputs");
  }
  ops::FusedProgram program(static_cast<int>(d->in.size()));
  for (NodeId m : group.members) {
    const Node& n = g_.nodes[m];
    SmallVector<int, 3> operands;
    for (ValueId v : n.inputs) operands.push_back(number.at(v));
    const ValueId result = n.outputs[0];
    number[result] = program.add(*n.op, operands, n.attrs.get());
    d->origins = merge_origins(d->origins, n.origins);
    const bool read_outside =
        std::any_of(readers_[result].begin(), readers_[result].end(),
                    [&](NodeId r) { return r == kNone || group_of_[r] != id; });
    if (!read_outside) continue;
    program.outputs.push_back(number[result]);
    d->metas.push_back(g_.meta(result));
    d->out.push_back(result);
  }
  // Nobody reads dead members where dce is off.
  if (d->out.empty()) return refuse("nobody reads the results");
  if (d->out.size() > kMaxOutputs) {
    d->large = true;
    return refuse("too many results are read outside");
  }
  d->program = program.text();
  const ops::FusedElementwiseAttrs attrs{d->program, exact_};
  SmallVector<const TensorMeta*, 6> pointers;
  for (ValueId v : d->in) pointers.push_back(&g_.meta(v));
  std::shared_ptr<const Plan> plan;
  return make_plan({&ops::kFusedElementwise, &attrs, pointers, d->metas},
                   d->metas.front().device.type, &plan, Rows::kFast);
}

// Sums over all rows that no kernel takes beside those of the rows: the group's others may stay.
bool ElementwiseFusion::ban_unfit_sums(const Group& group) {
  bool found = false;
  for (NodeId m : group.members) {
    if (role_[m] != Role::kEnd) continue;
    const Node& n = g_.nodes[m];
    const TensorMeta &x = g_.meta(n.inputs[0]), &y = g_.meta(n.outputs[0]);
    ops::FusedProgram program(1);
    int from = 0;
    if (group.row_mask != 0) {  // beside what reduces rows
      ops::ReduceAttrs rows{.keepdims = true};
      for (int d = 0; d < x.rank(); ++d) {
        if (group.row_mask >> d & 1u) rows.axes.push_back(d);
      }
      from = program.add(ops::kMax, {0}, &rows);
      from = program.add(ops::kSub, {0, from});
    }
    program.outputs.push_back(program.add(*n.op, {from}, n.attrs.get()));
    const ops::FusedElementwiseAttrs attrs{program.text(), exact_};
    const TensorMeta* in[] = {&x};
    const CallMeta call{&ops::kFusedElementwise, &attrs, in, {&y, 1}};
    if (has_kernel(call, y.device.type, Rows::kFast)) continue;
    banned_[m] = 1;
    found = true;
  }
  return found;
}

// Keeps out of groups what no kernel takes, its reductions first; true if there was something.
bool ElementwiseFusion::drop_refused() {
  bool dropped = false;
  for (const Group& c : groups_) {
    if (c.members.size() < 2) continue;
    Draft d;
    const Status s = draft(c, &d);
    if (s.ok()) continue;
    dropped = true;
    if (d.large && c.members.size() > 3) {
      // Smaller groups of the same nodes may fit.
      for (NodeId m : c.members) most_[m] = static_cast<int>(c.members.size() + 1) / 2;
      continue;
    }
    if (ban_unfit_sums(c)) {
      remark_refused(g_, c.members, cat("with all its sums: ", s.message()));
      continue;
    }
    bool reductions = false;
    for (NodeId m : c.members) {
      uint32_t reduced = 0;
      if (!is_reduction(g_.nodes[m], &reduced)) continue;
      banned_[m] = 1;
      reductions = true;
    }
    for (NodeId m : c.members) banned_[m] |= !reductions;
    remark_refused(g_, c.members, cat(reductions ? "with their reductions: " : "", s.message()));
  }
  return dropped;
}

NodeId ElementwiseFusion::build(const Group& group, Renames* renames) {
  Draft d;
  if (!draft(group, &d).ok()) return kNone;
  const ops::FusedElementwiseAttrs attrs{d.program, exact_};
  const Node& first = g_.nodes[group.members[0]];
  const int32_t clones = first.clone_group;
  remark_done(g_, group.members);
  const NodeId fused =
      g_.add_node(ops::kFusedElementwise, AnyAttrs(ops::kFusedElementwise.attrs, &attrs), d.in,
                  d.metas, std::move(d.origins), first.phase);
  g_.nodes[fused].clone_group = clones;
  for (size_t i = 0; i < d.out.size(); ++i) renames->put(d.out[i], g_.nodes[fused].outputs[i]);
  return fused;
}

// Why a node is not in the group of one it reads.
std::string ElementwiseFusion::obstacle(NodeId from, NodeId to) const {
  const Node &p = g_.nodes[from], &n = g_.nodes[to];
  if (p.phase != n.phase) {
    return cat("one is of the ", phase_name(p.phase), ", the other of the ", phase_name(n.phase));
  }
  if (p.clone_group != n.clone_group) return "one is computed again for the gradient";
  if (role_[from] == Role::kEnd) return "the reduction is done when all elements are";
  const Group& c = groups_[group_of_[from]];
  if (c.members.size() + groups_[group_of_[to]].members.size() > ops::kMaxFusedSteps) {
    return cat("the group has ", c.members.size(), " ops, at most ", ops::kMaxFusedSteps);
  }
  const TensorMeta& own = groups_[group_of_[to]].domain;
  if (!same_placement(own, c.domain)) return cat("it runs over ", own, ", the others ", c.domain);
  return "an op between them reads one and feeds another";
}

void ElementwiseFusion::remark_neighbours() {
  for (NodeId id : g_.order) {
    if (group_of_[id] == kNone) continue;
    NodeId other = kNone;
    bool joined = false;
    for (ValueId v : g_.nodes[id].inputs) {
      const NodeId p = v == kNone ? kNone : g_.values[v].producer;
      if (p == kNone || group_of_[p] == kNone) continue;
      joined = joined || group_of_[p] == group_of_[id];
      other = p;
    }
    if (!joined && other != kNone) remark_refused(g_, {other, id}, obstacle(other, id));
  }
}

Status ElementwiseFusion::run() {
  // Writers of States behind their other readers: depends() relies on the order.
  RUTILE_RETURN_IF_ERROR(sort_topologically(g_));
  position_ = g_.positions();
  before_.resize(g_.nodes.size());
  const std::vector<std::vector<int>> after = successors(g_);
  for (size_t i = 0; i < after.size(); ++i) {
    for (int later : after[i]) before_[g_.order[later]].push_back(g_.order[i]);
  }
  readers_ = readers_of(g_);
  form_groups();
  for (int i = 0; i < kMaxRounds && drop_refused(); ++i) form_groups();
  remark_neighbours();
  Renames renames;
  std::vector<NodeId> fused(groups_.size(), kNone);
  for (size_t c = 0; c < groups_.size(); ++c) {
    if (groups_[c].members.size() > 1) fused[c] = build(groups_[c], &renames);
  }
  std::vector<NodeId> order;
  for (NodeId id : g_.order) {
    const int c = static_cast<size_t>(id) < group_of_.size() ? group_of_[id] : kNone;
    if (c == kNone || fused[c] == kNone) {
      order.push_back(id);
    } else if (groups_[c].members.back() == id) {
      order.push_back(fused[c]);
    }
  }
  g_.order = std::move(order);
  g_.replace_uses(renames.map());
  return sort_topologically(g_);
}

}  // namespace

Status fuse_elementwise(Graph& g) { return ElementwiseFusion(g, false).run(); }
Status fuse_elementwise_exactly(Graph& g) { return ElementwiseFusion(g, true).run(); }

}  // namespace rutile::graph

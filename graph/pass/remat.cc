// SPDX-License-Identifier: Apache-2.0
// Purpose: values that lie idle between forward and backward at the moment when most bytes are
// alive are not kept but computed again right before their next use, if what they are made of is
// still there or can be rebuilt likewise. Batch norm keeps its input and statistics: its result is
// rebuilt by batch_norm_apply in one pass. Requires: the graph is final but for this (layouts
// chosen, ops fused), so that what is alive is what will be. Guarantees: the same bits as before;
// a value is rebuilt at most once; nothing that writes a State, has effects or may refuse the
// values it reads runs twice.
//
// Greedy (as in Chen et al., "Training deep nets with sublinear memory cost", 2016, but with a cost
// for each value): while a value that lies idle at the peak is worth it, the one that frees most
// bytes per millisecond of rebuilding goes; then peak and lifetimes are computed anew.
#include "rutile/graph/pass/remat.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "rutile/ops/norm.h"

namespace rutile::graph {

namespace {

// What two cores of the kind that docs/benchmarks.md names reach. Only their ratio matters.
constexpr double kBytesPerMs = 38e6, kFlopsPerMs = 200e6;
constexpr double kCheapBytesPerMs = kBytesPerMs / 6;
constexpr int64_t kCheapBytes = 64 << 10;  // less is not worth a kernel
constexpr int kMaxChain = 16;

bool is_batch_norm(const OpDef* op) {
  return op == &ops::kBatchNorm || op == &ops::kBatchNormRelu || op == &ops::kBatchNormAddRelu;
}

bool bound_by_arithmetic(const Cost& c) { return c.flops / kFlopsPerMs > c.bytes / kBytesPerMs; }

bool is_view(const Node& n) { return n.op->view_offset != nullptr; }

class Rematerializer {
 public:
  Rematerializer(Graph& g, const Remat& how)
      : g_(g), how_(how), least_(how.kind == Remat::Kind::kCheap ? kCheapBytes : 1) {}
  // At most `limit` rounds. Returns after how many of them the peak was lowest.
  int run(int limit);
  const RematReport& report() const { return report_; }

 private:
  // A value to rebuild, what must be rebuilt or moved for it, in order, and where to.
  struct Choice {
    ValueId value = kNone;
    int at = 0;                 // position in the order
    std::vector<ValueId> made;  // operands first; one that has a clone already: that moves here
    double ms = 0, freed = 0;
    bool makes(ValueId root) const {
      return std::find(made.begin(), made.end(), root) != made.end();
    }
    double worth() const { return freed / std::max(ms, 1e-6); }
  };

  void measure();
  int next_use(ValueId root) const;
  bool rebuildable(ValueId root) const;
  bool idle_at_peak(ValueId root) const;
  double rebuild_ms(ValueId root) const;
  std::vector<ValueId> operands(ValueId root) const;
  bool available(ValueId v, int depth, Choice* c) const;
  bool chain_available(ValueId root, int depth, Choice* c) const;
  Choice best() const;
  void apply(const Choice& c);
  NodeId make_clone(ValueId root);
  ValueId at_hand(ValueId v, const Choice& c, bool made_here);

  Graph& g_;
  const Remat& how_;
  const int64_t least_;  // bytes that are worth rebuilding
  RematReport report_;
  std::vector<ValueId> clone_;     // by value: its second version
  std::vector<ValueId> original_;  // by value: whose second version it is
  // Of the order as it is:
  std::vector<int> position_;           // by node
  std::vector<ValueId> root_;           // by value: whose memory it is
  std::vector<int64_t> bytes_;          // by root: what it takes in the arena
  std::vector<int> first_, last_;       // by root: positions
  std::vector<std::vector<int>> uses_;  // by root: positions of kernels that read it, ascending
  std::vector<int> written_;            // by root: position of its in-place writer
  int peak_at_ = 0;
  int64_t peak_ = 0;
};

void Rematerializer::measure() {
  const size_t n = g_.values.size();
  clone_.resize(n, kNone);
  original_.resize(n, kNone);
  position_ = g_.positions();
  root_.resize(n);
  for (size_t v = 0; v < n; ++v) root_[v] = static_cast<ValueId>(v);
  bytes_.assign(n, 0);
  first_.assign(n, -1);
  last_.assign(n, -1);
  uses_.assign(n, {});
  written_.assign(n, -1);
  const int end = static_cast<int>(g_.order.size());
  for (int i = 0; i < end; ++i) {
    const Node& node = g_.nodes[g_.order[i]];
    for (ValueId v : node.inputs) {
      if (v == kNone) continue;
      last_[root_[v]] = i;
      if (!is_view(node)) uses_[root_[v]].push_back(i);
    }
    for (ValueId v : written_inputs(node)) written_[root_[v]] = i;
    if (node.phase == Phase::kFrozen) continue;  // its results lie elsewhere, as constants do
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const ValueId v = node.outputs[k];
      const int alias = node.op->alias_input(static_cast<int>(k));
      if (alias >= 0) {
        root_[v] = root_[node.inputs[alias]];
        continue;
      }
      bytes_[v] = g_.meta(v).nbytes();
      first_[v] = last_[v] = i;
    }
  }
  for (const StateSlot& s : g_.states) last_[root_[s.out]] = end;
  for (ValueId v : g_.outputs) bytes_[root_[v]] = 0;  // has memory of its own
  std::vector<int64_t> change(static_cast<size_t>(end) + 2, 0);
  for (size_t v = 0; v < n; ++v) {
    if (bytes_[v] == 0 || first_[v] < 0) continue;
    change[first_[v]] += bytes_[v];
    change[last_[v] + 1] -= bytes_[v];
  }
  // An elementwise result lies where an operand was that nobody reads any more.
  for (int i = 0; i < end; ++i) {
    const Node& node = g_.nodes[g_.order[i]];
    if (!node.op->elementwise || node.outputs.empty() || bytes_[node.outputs[0]] == 0) continue;
    const int64_t out = bytes_[node.outputs[0]];
    const bool over = std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      return v != kNone && last_[root_[v]] == i && bytes_[root_[v]] == out && first_[root_[v]] >= 0;
    });
    if (!over) continue;
    change[i] -= out;
    change[i + 1] += out;
  }
  int64_t alive = 0;
  peak_ = 0;
  peak_at_ = 0;
  for (int i = 0; i <= end; ++i) {
    alive += change[i];
    if (alive > peak_) {
      peak_ = alive;
      peak_at_ = i;
    }
  }
}

// The first kernel behind the peak that reads it.
int Rematerializer::next_use(ValueId root) const {
  const std::vector<int>& u = uses_[root];
  const auto it = std::upper_bound(u.begin(), u.end(), peak_at_);
  return it == u.end() ? kNone : *it;
}

bool Rematerializer::rebuildable(ValueId root) const {
  const NodeId id = g_.values[root].producer;
  if (id == kNone || clone_[root] != kNone || original_[root] != kNone) return false;
  const Node& n = g_.nodes[id];
  if (g_.has_effects(n) || n.op->mutate_mask || n.op->checks_values || is_view(n)) return false;
  if (n.op->runs_bodies) return false;
  if (n.phase == Phase::kOptimizer || n.phase == Phase::kFrozen) return false;
  if (how_.kind == Remat::Kind::kCheap && bound_by_arithmetic(cost_of(g_, n))) return false;
  return !is_batch_norm(n.op) || root == n.outputs[0];
}

bool Rematerializer::idle_at_peak(ValueId root) const {
  if (bytes_[root] < least_ || first_[root] >= peak_at_ || last_[root] <= peak_at_) {
    return false;
  }
  return !std::binary_search(uses_[root].begin(), uses_[root].end(), peak_at_);
}

// What the node that rebuilds it reads.
std::vector<ValueId> Rematerializer::operands(ValueId root) const {
  const Node& n = g_.nodes[g_.values[root].producer];
  if (!is_batch_norm(n.op)) return n.inputs;
  const bool residual = n.op == &ops::kBatchNormAddRelu;
  auto in = [&](size_t i) { return i < n.inputs.size() ? n.inputs[i] : kNone; };
  const size_t affine = residual ? 2 : 1;
  return {in(0), n.outputs[1], n.outputs[2], in(affine), in(affine + 1), residual ? in(1) : kNone};
}

double Rematerializer::rebuild_ms(ValueId root) const {
  const Node& n = g_.nodes[g_.values[root].producer];
  const Cost c = cost_of(g_, n);
  return std::max(c.bytes / kBytesPerMs, c.flops / kFlopsPerMs);
}

// Whether `v` can be had at c->at; notes what that takes.
bool Rematerializer::available(ValueId v, int depth, Choice* c) const {
  if (v == kNone) return true;
  const ValueId root = root_[v];
  if (written_[root] >= 0 && written_[root] < c->at) return false;
  const ValueId original = original_[root] == kNone ? root : original_[root];
  if (first_[root] < 0 || c->makes(original)) return true;  // an input, State or constant
  if (root == original && first_[root] >= c->at) return false;
  if (first_[root] < c->at && last_[root] >= peak_at_) return true;
  // What is not alive at the peak: its clone, moved to the front if need be, or a new one.
  if (const ValueId clone = clone_[original]; clone != kNone) {
    const NodeId id = g_.values[clone].producer;
    if (position_[id] < c->at) return last_[clone] >= peak_at_;
    for (ValueId in : g_.nodes[id].inputs) {
      if (!available(in, depth + 1, c)) return false;
    }
    c->made.push_back(original);
    return true;
  }
  const bool small = bytes_[root] < std::max(least_, bytes_[c->value] / 16);
  if (!small && depth < kMaxChain && rebuildable(root)) {
    Choice further = *c;
    if (chain_available(root, depth, &further)) {
      *c = std::move(further);
      return true;
    }
  }
  c->freed -= static_cast<double>(bytes_[root]);  // kept instead
  return true;
}

bool Rematerializer::chain_available(ValueId root, int depth, Choice* c) const {
  for (ValueId v : operands(root)) {
    if (!available(v, depth + 1, c)) return false;
  }
  c->made.push_back(root);
  c->ms += rebuild_ms(root);
  return true;
}

Rematerializer::Choice Rematerializer::best() const {
  Choice found;
  for (size_t v = 0; v < root_.size(); ++v) {
    const ValueId root = static_cast<ValueId>(v);
    if (root_[v] != root || !idle_at_peak(root) || !rebuildable(root)) continue;
    Choice c;
    c.value = root;
    c.at = next_use(root);
    if (c.at == kNone) continue;
    c.freed = static_cast<double>(bytes_[root]);
    if (!chain_available(root, 0, &c) || c.freed < static_cast<double>(least_)) continue;
    if (how_.kind == Remat::Kind::kCheap && c.worth() < kCheapBytesPerMs) continue;
    if (found.value == kNone || c.worth() > found.worth()) found = std::move(c);
  }
  return found;
}

NodeId Rematerializer::make_clone(ValueId root) {
  const Node like = g_.nodes[g_.values[root].producer];
  const bool norm = is_batch_norm(like.op);
  std::vector<TensorMeta> metas;
  for (ValueId v : like.outputs) {
    if (!norm || v == root) metas.push_back(g_.meta(v));
  }
  const ops::BatchNormApplyAttrs attrs{like.op != &ops::kBatchNorm};
  const NodeId id =
      norm ? g_.add_node(ops::kBatchNormApply, AnyAttrs(ops::kBatchNormApply.attrs, &attrs),
                         operands(root), metas, like.origins, Phase::kBackward)
           : g_.add_node(*like.op, like.attrs, like.inputs, metas, like.origins, Phase::kBackward);
  g_.nodes[id].clone_group = -1 - id;
  clone_.resize(g_.values.size(), kNone);
  original_.resize(g_.values.size(), kNone);
  clone_[root] = g_.nodes[id].outputs[norm ? 0 : g_.values[root].output_index];
  for (ValueId v : g_.nodes[id].outputs) original_[v] = root;
  ++report_.rebuilt;
  return id;
}

// What a node behind c.at calls `v`: itself, its clone, or a view of its clone that is appended to
// the order. `made_here`: the node is one that the choice makes.
ValueId Rematerializer::at_hand(ValueId v, const Choice& c, bool made_here) {
  if (v == kNone || static_cast<size_t>(v) >= root_.size()) return v;
  const ValueId root = root_[v];
  const bool cloned = clone_[root] != kNone;
  // What a chain too deep keeps, and a shorter one makes further on, is still itself until then.
  const bool renamed = cloned && (c.makes(root) || (made_here && last_[root] < peak_at_));
  if (v == root) return renamed ? clone_[root] : v;
  const NodeId id = g_.values[v].producer;
  if (!renamed && position_[id] < c.at) return v;
  if (!renamed && !made_here) return v;
  const Node like = g_.nodes[id];
  std::vector<ValueId> in = like.inputs;
  for (ValueId& w : in) w = at_hand(w, c, made_here);
  std::vector<TensorMeta> metas;
  for (ValueId out : like.outputs) metas.push_back(g_.meta(out));
  const NodeId view =
      g_.add_node(*like.op, like.attrs, std::move(in), metas, like.origins, Phase::kBackward);
  g_.nodes[view].clone_group = -1 - view;
  clone_.resize(g_.values.size(), kNone);
  original_.resize(g_.values.size(), kNone);
  g_.order.push_back(view);
  return g_.nodes[view].outputs[g_.values[v].output_index];
}

void Rematerializer::apply(const Choice& c) {
  const std::vector<NodeId> behind(g_.order.begin() + c.at, g_.order.end());
  g_.order.resize(static_cast<size_t>(c.at));
  auto place = [&](NodeId id, bool made_here) {
    std::vector<ValueId> in = g_.nodes[id].inputs;
    for (ValueId& v : in) v = at_hand(v, c, made_here);
    g_.nodes[id].inputs = std::move(in);
    g_.order.push_back(id);
  };
  std::vector<NodeId> made;
  for (ValueId root : c.made) {
    made.push_back(clone_[root] == kNone ? make_clone(root) : g_.values[clone_[root]].producer);
    place(made.back(), true);
  }
  for (NodeId id : behind) {
    if (std::find(made.begin(), made.end(), id) != made.end()) continue;
    if (is_view(g_.nodes[id])) {
      g_.order.push_back(id);  // a view of a clone is made beside its reader
    } else {
      place(id, false);
    }
  }
  report_.ms += c.ms;
}

int Rematerializer::run(int limit) {
  measure();
  report_.bytes_before = report_.bytes_after = peak_;
  int lowest = 0;
  for (int round = 1; round <= limit; ++round) {
    if (how_.kind == Remat::Kind::kBudget && peak_ <= how_.bytes) break;
    const Choice c = best();
    if (c.value == kNone) break;
    apply(c);
    if (Status s = dce(g_); !s.ok()) break;
    measure();
    if (peak_ >= report_.bytes_after) continue;
    report_.bytes_after = peak_;
    lowest = round;
  }
  return lowest;
}

}  // namespace

Status parse_remat(std::string_view text, Remat* remat) {
  *remat = Remat();
  if (text.empty() || text == "off") return Status();
  if (text == "cheap") {
    remat->kind = Remat::Kind::kCheap;
    return Status();
  }
  const std::string copy(text);
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  const std::string_view unit(end);
  double factor = 0;
  for (const auto& [name, bytes] :
       {std::pair<std::string_view, double>{"", 1}, {"MB", 1 << 20}, {"GB", 1 << 30}}) {
    if (unit == name) factor = bytes;
  }
  const double bytes = number * factor;
  if (end == copy.c_str() || !(bytes >= 1) || !(bytes < 1e18)) {
    return value_error(
        cat("remat is \"off\", \"cheap\" or a size such as \"900MB\", not \"", text, "\""));
  }
  remat->kind = Remat::Kind::kBudget;
  remat->bytes = static_cast<int64_t>(bytes);
  return Status();
}

Status rematerialize(Graph& g, const Remat& how, RematReport* report) {
  *report = RematReport();
  if (how.kind == Remat::Kind::kOff) return Status();
  constexpr int kRounds = 4096;
  Graph trial = g;
  const int rounds = Rematerializer(trial, how).run(kRounds);
  Rematerializer pass(g, how);
  pass.run(rounds);
  *report = pass.report();
  return Status();
}

}  // namespace rutile::graph

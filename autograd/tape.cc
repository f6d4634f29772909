// SPDX-License-Identifier: Apache-2.0
#include "rutile/autograd/tape.h"
#include "rutile/core/complex.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "rutile/ops/composition.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/integer_gradients.h"
#include "rutile/ops/op_runtime.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/transfer.h"
#include "rutile/ops/view.h"

namespace rutile {

namespace {

std::atomic<uint64_t> next_epoch{1};

constexpr int32_t kLeaf = -1;  // a watched tensor
constexpr int32_t kGone = -2;  // its node was dropped with a finished scope

struct Node {
  const OpDef* op = nullptr;
  AnyAttrs attrs;
  SmallVector<uint32_t, 4> in_vars;  // 0: not tracked
  SmallVector<Tensor, 3> saved_in;   // same length as in_vars where anything is saved
  SmallVector<Tensor, 2> saved_out;
  SmallVector<TensorMeta, 3> in_metas;
  uint32_t given = 0;
  uint32_t first_out = 0;  // var of output 0; the others follow
  int num_out = 0;
  CallPlace place;
  std::string cell;  // path of Cells, for errors in backward
};

}  // namespace

// One per thread; all open scopes of the thread share it, each owning the nodes from its first.
class Tape final : public TapeHook {
 public:
  static Tape& current() {
    thread_local Tape tape;
    return tape;
  }

  bool tracked(const Tensor& t) const override { return var_of(t) != 0; }
  void record(const OpDef& op, const void* attrs, std::span<const Tensor> in,
              std::span<const Tensor> out, std::source_location where) override;

  uint32_t var_of(const Tensor& t) const {
    const TensorImpl* p = t.impl();
    return p && p->tape_epoch == epoch_ && producers_[p->tape_var] != kGone ? p->tape_var : 0;
  }
  Tensor own_handle(const Tensor& value) override;
  uint32_t new_var(const Tensor& t, int32_t producer) {
    t.impl()->tape_epoch = epoch_;
    t.impl()->tape_var = static_cast<uint32_t>(producers_.size());
    producers_.push_back(producer);
    return t.impl()->tape_var;
  }
  void open(GradScope* scope) {
    if (open_.empty()) {
      epoch_ = next_epoch.fetch_add(1);
      producers_.assign(1, kGone);  // var 0 means "none"
    }
    open_.push_back(scope);
  }
  void close(GradScope* scope);
  // Over the nodes and vars made since the scope's beginning: the gradients of sum(y_i * dy_i).
  std::vector<Tensor> backward(const GradScope& scope, std::span<const Tensor> ys,
                               std::span<const Tensor> xs, std::span<const Tensor> dys,
                               bool retain);
  uint32_t next_var() const { return static_cast<uint32_t>(producers_.size()); }

  std::deque<Node> nodes_;
  std::unordered_map<uint32_t, std::vector<GradScope::Hook>> hooks_;

 private:
  struct Slot {
    bool wanted = false;    // depends on some x
    bool finished = false;  // its hooks have run
    Tensor grad;
  };
  // What backward knows of each var: those made in the scope by number, and the few older xs.
  struct Walk {
    uint32_t first = 0;
    std::vector<Slot> made;
    std::vector<std::pair<uint32_t, Slot>> older;
    Slot* find(uint32_t var) {
      if (var >= first) return &made[var - first];
      for (auto& [v, slot] : older) {
        if (v == var) return &slot;
      }
      return nullptr;
    }
    bool wanted(uint32_t var) {
      const Slot* s = var ? find(var) : nullptr;
      return s && s->wanted;
    }
  };
  struct Handle {
    Tensor value, own;
  };
  std::unordered_map<const TensorImpl*, Handle> handles_;  // by both
  bool watched_elsewhere(uint32_t var, const GradScope* scope) const;
  void drop_nodes(const GradScope& scope, bool keep);
  std::vector<std::pair<size_t, uint32_t>> first_readers(size_t first_node,
                                                         std::span<const uint32_t> vars) const;
  void step(Node& n, Walk& w);
  void finish(uint32_t var, Walk& w);
  void accumulate(uint32_t var, const Tensor& g, Walk& w);
  std::vector<Tensor> vjp(const Region::Function& fn, const std::vector<Tensor>& operands,
                          std::span<const Tensor> grads);
  GradResult rule(const Node& n, uint32_t needs, std::span<const Tensor> out_grads);
  GradResult plain_rule(const Node& n, uint32_t needs, std::span<const Tensor> saved_in,
                        std::span<const Tensor> saved_out, std::span<const Tensor> out_grads);

  // By var: a node, kLeaf or kGone. Numbers are not used again while a scope is open: a tensor
  // that outlives its scope must not be taken for a later one.
  std::vector<int32_t> producers_;
  std::vector<GradScope*> open_;
  uint64_t epoch_ = 0;
};

bool Tape::watched_elsewhere(uint32_t var, const GradScope* scope) const {
  return std::any_of(open_.begin(), open_.end(), [&](const GradScope* s) {
    return s != scope &&
           std::find(s->watched_.begin(), s->watched_.end(), var) != s->watched_.end();
  });
}

// Keeps what depends on something that an enclosing scope tracks, if that one records at all.
void Tape::drop_nodes(const GradScope& scope, bool keep) {
  for (const uint32_t var : scope.watched_) {
    if (producers_[var] == kLeaf && !watched_elsewhere(var, &scope)) producers_[var] = kGone;
  }
  size_t kept = scope.first_node_;
  for (size_t i = kept; i < nodes_.size(); ++i) {
    Node& n = nodes_[i];
    const bool alive = keep && std::any_of(n.in_vars.begin(), n.in_vars.end(),
                                           [&](uint32_t v) { return producers_[v] != kGone; });
    if (alive) {
      if (kept != i) nodes_[kept] = std::move(n);
      ++kept;
      continue;
    }
    for (int k = 0; k < n.num_out; ++k) producers_[n.first_out + k] = kGone;
  }
  nodes_.resize(kept);
  std::erase_if(hooks_, [&](const auto& h) { return producers_[h.first] == kGone; });
}

void Tape::close(GradScope* scope) {
  const auto at = std::find(open_.begin(), open_.end(), scope);
  if (at + 1 != open_.end()) {
    // Out of order: the next scope inside stands in for this one when it closes.
    (*(at + 1))->outer_ = scope->outer_;
    open_.erase(at);
    return;
  }
  call_modes().tape = scope->outer_;
  open_.pop_back();
  if (open_.empty()) {
    nodes_.clear();
    hooks_.clear();
    handles_.clear();
    epoch_ = 0;
  } else {
    drop_nodes(*scope, scope->outer_ != nullptr);
  }
}

// A var is kept in the tensor: one that several threads read would be numbered by each of them.
Tensor Tape::own_handle(const Tensor& value) {
  if (!value.defined() || value.is_symbolic() || !ops::has_gradient(value.dtype())) return value;
  if (var_of(value)) return value;
  const auto known = handles_.find(value.impl());
  if (known != handles_.end()) return known->second.own;
  const Handle h{value, value.alias()};
  handles_.emplace(value.impl(), h);
  handles_.emplace(h.own.impl(), h);
  return h.own;
}

void Tape::record(const OpDef& op, const void* attrs, std::span<const Tensor> in,
                  std::span<const Tensor> out, std::source_location where) {
  if (op.no_grad && !op.grad && !op.compose) return;
  Node& n = nodes_.emplace_back();
  n.op = &op;
  n.attrs = AnyAttrs(op.attrs, attrs);
  // Without a rule, backward runs the composition again and needs every input.
  const bool save_all = !op.grad;
  for (size_t i = 0; i < in.size(); ++i) {
    const Tensor& t = in[i];
    n.in_vars.push_back(t.defined() && ops::has_gradient(t.dtype()) ? var_of(t) : 0);
    n.in_metas.push_back(t.defined() ? t.meta() : TensorMeta());
    if (t.defined() && i < 32) n.given |= 1u << i;
  }
  uint32_t save_in = op.save_inputs, save_out = op.save_outputs;
  if (op.saves_if) {
    uint32_t needs = 0;
    for (int i = 0; i < n.in_vars.size() && i < 32; ++i) needs |= n.in_vars[i] ? 1u << i : 0;
    const uint32_t keep = op.saves_if(needs);
    save_in &= keep;
    save_out &= keep >> 16;
  }
  if (save_in || save_all) {
    for (size_t i = 0; i < in.size(); ++i) {
      const size_t named = std::min<size_t>(i, static_cast<size_t>(op.num_inputs) - 1);
      n.saved_in.push_back(save_all || (save_in >> named & 1u) ? in[i] : Tensor());
    }
  }
  if (save_out) {
    for (size_t i = 0; i < out.size(); ++i) {
      const size_t named = std::min<size_t>(i, static_cast<size_t>(op.num_outputs) - 1);
      n.saved_out.push_back(save_out >> named & 1u ? out[i] : Tensor());
    }
  }
  const int32_t id = static_cast<int32_t>(nodes_.size()) - 1;
  n.num_out = static_cast<int>(out.size());
  n.first_out = static_cast<uint32_t>(producers_.size());
  for (const Tensor& t : out) new_var(t, id);
  const CallModes& modes = call_modes();
  if (modes.cell) n.cell = cell_path(modes.cell);
  if (modes.forward) {  // the gradient of a gradient, or a part of a composition
    n.place = *modes.forward;
  } else {
    n.place.op = &op;
    n.place.where = where;
    if (modes.trace || modes.run) user_location(&n.place.file, &n.place.line);
  }
}

void Tape::accumulate(uint32_t var, const Tensor& g, Walk& w) {
  Tensor& sum = w.find(var)->grad;
  sum = sum.defined() ? ops::add(sum, g) : g;
}

// All consumers of `var` are done: hooks see the gradient.
void Tape::finish(uint32_t var, Walk& w) {
  if (hooks_.empty()) return;
  auto it = hooks_.find(var);
  Slot& slot = *w.find(var);
  if (it == hooks_.end() || !slot.grad.defined() || slot.finished) return;
  slot.finished = true;
  Tensor& grad = slot.grad;
  for (const GradScope::Hook& hook : it->second) {
    Tensor r = hook(grad);
    if (!r.defined()) continue;
    if (!(r.shape() == grad.shape())) {
      throw_error(ErrorCode::kValue,
                  cat("a gradient hook returned ", r.meta(), " for a gradient of ", grad.meta()));
    }
    grad = r;
  }
}

// Below it a call costs more than what it does: a rule's few calls are made as they stand.
constexpr int64_t kRepeatElements = 2048;

bool repeats(const OpDef& op, std::span<const Tensor> out_grads) {
  const CallModes& modes = call_modes();
  if (modes.trace || modes.tape || modes.run || modes.reference_kernels) return false;
  const auto large = [&](const Tensor& t) {
    return t.defined() && (!op.grad || t.numel() >= kRepeatElements);
  };
  return std::any_of(out_grads.begin(), out_grads.end(), large) && may_repeat(op);
}

uint64_t mask_of(std::span<const Tensor> tensors) {
  uint64_t mask = 1;
  for (const Tensor& t : tensors) mask = mask * 2 + t.defined();
  return mask;
}

// The calls of the rule as they were made on the same metas before, in fewer passes over memory.
GradResult Tape::rule(const Node& n, uint32_t needs, std::span<const Tensor> out_grads) {
  if (n.in_metas.size() > 16 || !repeats(*n.op, out_grads)) {
    return plain_rule(n, needs, n.saved_in, n.saved_out, out_grads);
  }
  std::vector<TensorMeta> metas(n.in_metas.begin(), n.in_metas.end());
  std::vector<TensorMeta> operand_metas;
  std::vector<Tensor> operands;
  const std::span<const Tensor> groups[] = {n.saved_in, n.saved_out, out_grads};
  uint64_t kind = detail::mix_hash(n.given, needs);
  for (const uint32_t var : n.in_vars) kind = detail::mix_hash(kind, var != 0);
  for (const auto& group : groups) {
    kind = detail::mix_hash(kind, mask_of(group));
    for (const Tensor& t : group) {
      if (t.defined()) operands.push_back(t);
    }
  }
  for (const Tensor& t : operands) metas.push_back(t.meta());
  const CompositionKey key{n.op, n.attrs.get(), kind, metas};
  bool known = false;
  const Composition* found = find_composition(key, &known);
  if (!known) {
    const auto fn = [&](const std::vector<Tensor>& symbols) {
      size_t next = 0;
      std::vector<Tensor> parts[3];
      for (int k = 0; k < 3; ++k) {
        for (const Tensor& t : groups[k]) {
          parts[k].push_back(t.defined() ? symbols[next++] : Tensor());
        }
      }
      const GradResult r = plain_rule(n, needs, parts[0], parts[1], parts[2]);
      std::vector<Tensor> all(r.begin(), r.end());
      all.resize(static_cast<size_t>(n.in_metas.size()));
      return all;
    };
    operand_metas.assign(metas.begin() + n.in_metas.size(), metas.end());
    found = remember_composition(key, make_composition(fn, operand_metas));
  }
  if (!found) return plain_rule(n, needs, n.saved_in, n.saved_out, out_grads);
  GradResult result;
  result.resize(n.in_metas.size());
  found->run(operands, result);
  return result;
}

GradResult Tape::plain_rule(const Node& n, uint32_t needs, std::span<const Tensor> saved_in,
                            std::span<const Tensor> saved_out, std::span<const Tensor> out_grads) {
  if (n.op->grad) {
    GradCtx ctx(*n.op, n.attrs.get(), saved_in, saved_out, out_grads, n.in_metas, n.given, needs,
                [](const Region::Function& body, const std::vector<Tensor>& in,
                   std::span<const Tensor> dy) { return Tape::current().vjp(body, in, dy); });
    return n.op->grad(ctx);
  }
  // No rule: differentiate the composition on the saved inputs.
  std::vector<Tensor> operands;
  std::vector<int> index;
  std::vector<Tensor> all(saved_in.begin(), saved_in.end());
  for (int i = 0; i < n.in_vars.size(); ++i) {
    if (!n.in_vars[i]) continue;
    index.push_back(i);
    operands.push_back(all[static_cast<size_t>(i)]);
  }
  auto body = [&](const std::vector<Tensor>& xs) {
    std::vector<Tensor> args = all;
    for (size_t k = 0; k < index.size(); ++k) args[index[k]] = xs[k];
    TensorList r = n.op->compose(n.attrs.get(), args);
    return std::vector<Tensor>(r.begin(), r.end());
  };
  std::vector<Tensor> dx = vjp(body, operands, out_grads);
  GradResult result;
  result.resize(n.in_vars.size());
  for (size_t k = 0; k < index.size(); ++k) result[index[k]] = dx[k];
  return result;
}

void Tape::step(Node& n, Walk& w) {
  bool any = false;
  SmallVector<Tensor, 2> out_grads;
  for (int i = 0; i < n.num_out; ++i) {
    finish(n.first_out + i, w);
    out_grads.push_back(std::move(w.find(n.first_out + i)->grad));
    any = any || out_grads.back().defined();
  }
  uint32_t needs = 0;
  bool wanted = false;
  for (int i = 0; i < n.in_vars.size(); ++i) {
    const uint32_t var = n.in_vars[i];
    if (!w.wanted(var)) continue;
    wanted = true;
    if (i < 32) needs |= 1u << i;
  }
  if (!any || !wanted) return;
  const CellScope scope{n.cell, nullptr};
  ScopedValue<const CellScope*> cell(call_modes().cell, n.cell.empty() ? nullptr : &scope);
  ScopedValue<const CallPlace*> forward(call_modes().forward, &n.place);
  const auto given =
      std::find_if(out_grads.begin(), out_grads.end(), [](const Tensor& t) { return t.defined(); });
  ScopedValue<Device> there(call_modes().device, given->device());
  GradResult g = rule(n, needs, out_grads);
  for (int i = 0; i < n.in_vars.size() && i < g.size(); ++i) {
    const uint32_t var = n.in_vars[i];
    if (!w.wanted(var) || !g[i].defined()) continue;
    if (!(g[i].shape() == n.in_metas[i].shape)) {
      throw_error(is_library_op(*n.op) ? ErrorCode::kInternal : ErrorCode::kValue,
                  cat("[", n.op->name, "] its gradient of input ", n.op->input_name(i), " is ",
                      g[i].meta(), ", expected ", n.in_metas[i]));
    }
    accumulate(var, ops::to_device(g[i], n.in_metas[i].device), w);
  }
}

// The leaves among these with a hook, by the first node that reads them; ascending.
std::vector<std::pair<size_t, uint32_t>> Tape::first_readers(size_t first_node,
                                                             std::span<const uint32_t> vars) const {
  std::unordered_set<uint32_t> open;
  for (const uint32_t v : vars) {
    if (producers_[v] == kLeaf && hooks_.count(v)) open.insert(v);
  }
  std::vector<std::pair<size_t, uint32_t>> found;
  for (size_t i = first_node; i < nodes_.size() && !open.empty(); ++i) {
    for (const uint32_t v : nodes_[i].in_vars) {
      if (open.erase(v)) found.emplace_back(i, v);
    }
  }
  return found;
}

std::vector<Tensor> Tape::backward(const GradScope& scope, std::span<const Tensor> ys,
                                   std::span<const Tensor> xs, std::span<const Tensor> dys,
                                   bool retain) {
  const size_t first_node = scope.first_node_;
  Walk w;
  w.first = scope.first_var_;
  w.made.resize(producers_.size() - w.first);
  std::vector<uint32_t> x_vars;
  for (const Tensor& x : xs) {
    const uint32_t var = var_of(x);
    const bool known = var >= w.first || std::find(scope.watched_.begin(), scope.watched_.end(),
                                                   var) != scope.watched_.end();
    if (!var || !known) {
      throw_error(ErrorCode::kValue, cat("gradient() by a tensor ", x.meta(),
                                         " that this scope does not watch; call watch() first"));
    }
    x_vars.push_back(var);
    if (!w.find(var)) w.older.emplace_back(var, Slot());
    w.find(var)->wanted = true;
  }
  const size_t last = nodes_.size();
  for (size_t i = first_node; i < last; ++i) {
    const Node& n = nodes_[i];
    bool reached = false;
    for (uint32_t v : n.in_vars) reached = reached || w.wanted(v);
    for (int k = 0; reached && k < n.num_out; ++k) w.find(n.first_out + k)->wanted = true;
  }
  // An x made inside the scope keeps its gradient, which step() would hand on.
  std::unordered_map<uint32_t, Tensor> kept;
  for (size_t i = 0; i < ys.size(); ++i) {
    const uint32_t y_var = var_of(ys[i]);
    if (w.wanted(y_var)) accumulate(y_var, dys[i], w);
  }
  // Hooks see the gradient of a leaf as soon as it is complete: they may send it away meanwhile.
  std::vector<std::pair<size_t, uint32_t>> complete;
  if (!hooks_.empty() && !scope.partial_) complete = first_readers(first_node, x_vars);
  for (size_t i = last; i-- > first_node;) {
    Node& n = nodes_[i];
    for (uint32_t x : x_vars) {
      if (x < n.first_out || x >= n.first_out + static_cast<uint32_t>(n.num_out)) continue;
      finish(x, w);
      kept[x] = w.find(x)->grad;
    }
    step(n, w);
    if (!retain) {
      n.saved_in.clear();
      n.saved_out.clear();
    }
    for (; !complete.empty() && complete.back().first == i; complete.pop_back()) {
      finish(complete.back().second, w);
    }
  }
  std::vector<Tensor> result;
  for (size_t i = 0; i < xs.size(); ++i) {
    auto it = kept.find(x_vars[i]);
    // The body of a composition gives a part of an operand's gradient, hooks see the whole.
    if (it == kept.end() && !scope.partial_) finish(x_vars[i], w);
    Tensor g = it == kept.end() ? w.find(x_vars[i])->grad : it->second;
    ScopedValue<Device> there(call_modes().device, xs[i].device());
    if (!g.defined()) g = ops::full(xs[i].shape(), Scalar(0), xs[i].dtype());
    if (g.dtype() != xs[i].dtype()) g = ops::cast(g, xs[i].dtype());
    result.push_back(g);
  }
  return result;
}

// Gradients of fn at the operands, by recording its ops in a scope of their own. A tensor that
// stands at several places gets its whole gradient at the first of them.
std::vector<Tensor> Tape::vjp(const Region::Function& fn, const std::vector<Tensor>& operands,
                              std::span<const Tensor> grads) {
  GradScope scope;
  scope.partial_ = true;
  std::vector<Tensor> xs;
  std::vector<size_t> place;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Tensor& t = operands[i];
    const bool again =
        std::any_of(xs.begin(), xs.end(), [&](const Tensor& x) { return x.impl() == t.impl(); });
    if (!ops::has_gradient(t.dtype()) || again) continue;
    scope.watch(t);
    xs.push_back(t);
    place.push_back(i);
  }
  std::vector<Tensor> ys, dys;
  const std::vector<Tensor> made = fn(operands);
  for (size_t i = 0; i < made.size() && i < grads.size(); ++i) {
    if (!grads[i].defined() || !tracked(made[i])) continue;
    ys.push_back(made[i]);
    dys.push_back(grads[i]);
  }
  std::vector<Tensor> result(operands.size());
  if (ys.empty()) return result;
  std::vector<Tensor> g = scope.gradients(ys, xs, dys, /*retain=*/false);
  for (size_t k = 0; k < g.size(); ++k) result[place[k]] = std::move(g[k]);
  return result;
}

GradScope::GradScope()
    : tape_(Tape::current()), outer_(call_modes().tape), first_node_(tape_.nodes_.size()) {
  tape_.open(this);
  first_var_ = tape_.next_var();
  call_modes().tape = &tape_;
}

GradScope::~GradScope() {
  // Another thread's record is not ours to touch; that thread may have ended, and its tape with it.
  if (thread_ == std::this_thread::get_id()) tape_.close(this);
}

void GradScope::check_thread() const {
  if (thread_ == std::this_thread::get_id()) return;
  throw_error(ErrorCode::kRuntime,
              "a gradient scope belongs to the thread that opened it; what another thread computes "
              "is not recorded");
}

void GradScope::watch(const Tensor& x) {
  check_thread();
  if (!ops::has_gradient(x.dtype())) {
    throw_error(ErrorCode::kType,
                cat("only floating-point and complex tensors have gradients, got ", x.meta()));
  }
  if (!tape_.tracked(x)) tape_.new_var(x, kLeaf);
  const uint32_t var = tape_.var_of(x);
  if (watched_.empty() || watched_.back() < var ||
      std::find(watched_.begin(), watched_.end(), var) == watched_.end()) {
    watched_.push_back(var);
  }
}

std::vector<Tensor> GradScope::gradient(const Tensor& y, std::span<const Tensor> xs,
                                        const Tensor& dy, bool retain) {
  check_thread();
  if (!dy.defined() && y.numel() != 1) {
    throw_error(ErrorCode::kValue, cat("gradient() of ", y.meta(),
                                       ": only a tensor of one element has a default dy; reduce "
                                       "it (sum, mean) or pass dy"));
  }
  if (!ops::has_gradient(y.dtype())) {
    throw_error(ErrorCode::kType,
                cat("gradient() of ", y.meta(), ": it must be floating point or complex"));
  }
  if (dy.defined() && !(dy.shape() == y.shape())) {
    throw_error(ErrorCode::kValue, cat("dy is ", dy.meta(), ", y is ", y.meta()));
  }
  if (!dy.defined() && is_complex(y.dtype())) {
    throw_error(ErrorCode::kType, cat("gradient() of ", y.meta(),
                                      ": a complex number has no default dy; take its real part, "
                                      "or pass dy"));
  }
  if (dy.defined()) return gradients({&y, 1}, xs, {&dy, 1}, retain);
  ScopedValue<TapeHook*> constant(call_modes().tape, nullptr);
  ScopedValue<Device> there(call_modes().device, y.device());
  const Tensor one = ops::full(y.shape(), Scalar(1), y.dtype());
  return gradients({&y, 1}, xs, {&one, 1}, retain);
}

std::vector<Tensor> GradScope::gradients(std::span<const Tensor> ys, std::span<const Tensor> xs,
                                         std::span<const Tensor> dys, bool retain) {
  if (released_) {
    throw_error(ErrorCode::kRuntime,
                "gradient() was already taken in this scope; pass retain=true to the first call");
  }
  retain = retain || outer_;  // an enclosing scope walks the same nodes later
  released_ = !retain;
  // Recorded only for an enclosing scope; and gradients run in full precision.
  ScopedValue<TapeHook*> recording(call_modes().tape, outer_);
  ScopedValue<AmpState> no_amp(call_modes().amp, AmpState{});
  return tape_.backward(*this, ys, xs, dys, retain);
}

void GradScope::add_hook(const Tensor& t, Hook hook) {
  check_thread();
  const uint32_t var = tape_.var_of(t);
  if (!var) {
    throw_error(ErrorCode::kValue,
                cat("a hook needs a tensor that this scope tracks, got ", t.meta()));
  }
  tape_.hooks_[var].push_back(std::move(hook));
}

bool GradScope::add_hook_if_tracked(const Tensor& t, Hook hook) {
  auto* tape = dynamic_cast<Tape*>(call_modes().tape);
  const uint32_t var = tape ? tape->var_of(t) : 0;
  if (var) tape->hooks_[var].push_back(std::move(hook));
  return var != 0;
}

ValueAndGrad value_and_grad(const std::function<Tensor(const std::vector<Tensor>&)>& fn,
                            const std::vector<Tensor>& xs) {
  // A tensor in several places is a variable in each; an enclosing scope sees where it comes from.
  std::vector<Tensor> inputs;
  for (const Tensor& x : xs) {
    const auto same = [&](const Tensor& t) { return t.impl() == x.impl(); };
    const bool before = std::any_of(inputs.begin(), inputs.end(), same);
    inputs.push_back(before ? ops::reshape(x, x.shape()) : x);
  }
  GradScope scope;
  for (const Tensor& x : inputs) scope.watch(x);
  ValueAndGrad r;
  r.value = fn(inputs);
  r.grads = scope.gradient(r.value, inputs);
  return r;
}

}  // namespace rutile

// SPDX-License-Identifier: Apache-2.0
// The walk back over a tape: which vars depend on the xs, and the sums of their gradients.
#include <algorithm>
#include <unordered_set>

#include "rutile/autograd/tape_impl.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/op_runtime.h"
#include "rutile/ops/transfer.h"

namespace rutile {
namespace {

using Hooks = std::unordered_map<uint32_t, std::vector<GradScope::Hook>>;

// What is known of each var on the way back: those made in the scope by number, and the few older
// xs.
class Walk {
 public:
  Walk(uint32_t first_made, size_t vars, const Hooks& hooks)
      : first_(first_made), made_(vars - first_made), hooks_(hooks) {}

  bool wanted(uint32_t var) {
    const Slot* s = var ? find(var) : nullptr;
    return s && s->wanted;
  }
  void want(uint32_t var) {
    Slot* s = find(var);
    if (!s) s = &older_.emplace_back(var, Slot()).second;
    s->wanted = true;
  }
  const Tensor& grad(uint32_t var) { return find(var)->grad; }
  void accumulate(uint32_t var, const Tensor& g);
  void finish(uint32_t var);
  void step(const TapeNode& n);

 private:
  struct Slot {
    bool wanted = false;    // depends on some x
    bool finished = false;  // its hooks have run
    Tensor grad;
  };
  Slot* find(uint32_t var) {
    if (var >= first_) return &made_[var - first_];
    for (auto& [v, slot] : older_) {
      if (v == var) return &slot;
    }
    return nullptr;
  }

  const uint32_t first_;
  std::vector<Slot> made_;
  std::vector<std::pair<uint32_t, Slot>> older_;
  const Hooks& hooks_;
};

void Walk::accumulate(uint32_t var, const Tensor& g) {
  Tensor& sum = find(var)->grad;
  sum = sum.defined() ? ops::add(sum, g) : g;
}

// All consumers of `var` are done: hooks see the gradient.
void Walk::finish(uint32_t var) {
  if (hooks_.empty()) return;
  auto it = hooks_.find(var);
  Slot& slot = *find(var);
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

void Walk::step(const TapeNode& n) {
  bool any = false;
  SmallVector<Tensor, 2> out_grads;
  for (int i = 0; i < n.num_out; ++i) {
    finish(n.first_out + i);
    out_grads.push_back(std::move(find(n.first_out + i)->grad));
    any = any || out_grads.back().defined();
  }
  uint32_t needs = 0;
  bool asked = false;
  for (int i = 0; i < n.in_vars.size(); ++i) {
    const uint32_t var = n.in_vars[i];
    if (!wanted(var)) continue;
    asked = true;
    if (i < 32) needs |= 1u << i;
  }
  if (!any || !asked) return;
  const CellScope scope{n.cell, nullptr};
  ScopedValue<const CellScope*> cell(call_modes().cell, n.cell.empty() ? nullptr : &scope);
  ScopedValue<const CallPlace*> forward(call_modes().forward, &n.place);
  const auto given =
      std::find_if(out_grads.begin(), out_grads.end(), [](const Tensor& t) { return t.defined(); });
  ScopedValue<Device> there(call_modes().device, given->device());
  GradResult g = Tape::gradients_of(n, needs, out_grads);
  for (int i = 0; i < n.in_vars.size() && i < g.size(); ++i) {
    const uint32_t var = n.in_vars[i];
    if (!wanted(var) || !g[i].defined()) continue;
    if (!(g[i].shape() == n.in_metas[i].shape)) {
      throw_error(is_library_op(*n.op) ? ErrorCode::kInternal : ErrorCode::kValue,
                  cat("[", n.op->name, "] its gradient of input ", n.op->input_name(i), " is ",
                      g[i].meta(), ", expected ", n.in_metas[i]));
    }
    accumulate(var, ops::to_device(g[i], n.in_metas[i].device));
  }
}

}  // namespace

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
  Walk w(scope.first_var_, producers_.size(), hooks_);
  std::vector<uint32_t> x_vars;
  for (const Tensor& x : xs) {
    const uint32_t var = var_of(x);
    const bool known =
        var >= scope.first_var_ ||
        std::find(scope.watched_.begin(), scope.watched_.end(), var) != scope.watched_.end();
    if (!var || !known) {
      throw_error(ErrorCode::kValue, cat("gradient() by a tensor ", x.meta(),
                                         " that this scope does not watch; call watch() first"));
    }
    x_vars.push_back(var);
    w.want(var);
  }
  const size_t last = nodes_.size();
  for (size_t i = first_node; i < last; ++i) {
    const TapeNode& n = nodes_[i];
    bool reached = false;
    for (uint32_t v : n.in_vars) reached = reached || w.wanted(v);
    for (int k = 0; reached && k < n.num_out; ++k) w.want(n.first_out + k);
  }
  // An x made inside the scope keeps its gradient, which step() would hand on.
  std::unordered_map<uint32_t, Tensor> kept;
  for (size_t i = 0; i < ys.size(); ++i) {
    const uint32_t y_var = var_of(ys[i]);
    if (w.wanted(y_var)) w.accumulate(y_var, dys[i]);
  }
  // Hooks see the gradient of a leaf as soon as it is complete: they may send it away meanwhile.
  std::vector<std::pair<size_t, uint32_t>> complete;
  if (!hooks_.empty() && !scope.partial_) complete = first_readers(first_node, x_vars);
  for (size_t i = last; i-- > first_node;) {
    TapeNode& n = nodes_[i];
    for (uint32_t x : x_vars) {
      if (x < n.first_out || x >= n.first_out + static_cast<uint32_t>(n.num_out)) continue;
      w.finish(x);
      kept[x] = w.grad(x);
    }
    w.step(n);
    if (!retain) {
      n.saved_in.clear();
      n.saved_out.clear();
    }
    for (; !complete.empty() && complete.back().first == i; complete.pop_back()) {
      w.finish(complete.back().second);
    }
  }
  std::vector<Tensor> result;
  for (size_t i = 0; i < xs.size(); ++i) {
    auto it = kept.find(x_vars[i]);
    // The body of a composition gives a part of an operand's gradient, hooks see the whole.
    if (it == kept.end() && !scope.partial_) w.finish(x_vars[i]);
    Tensor g = it == kept.end() ? w.grad(x_vars[i]) : it->second;
    ScopedValue<Device> there(call_modes().device, xs[i].device());
    if (!g.defined()) g = ops::full(xs[i].shape(), Scalar(0), xs[i].dtype());
    if (g.dtype() != xs[i].dtype()) g = ops::cast(g, xs[i].dtype());
    result.push_back(g);
  }
  return result;
}

}  // namespace rutile

// SPDX-License-Identifier: Apache-2.0
#include "rutile/autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "rutile/autograd/tape_impl.h"
#include "rutile/ops/integer_gradients.h"

namespace rutile {
namespace {

// Inlined with all that it calls: there is one node for each op.
[[gnu::flatten]] inline TapeNode& append(std::deque<TapeNode>& nodes) {
  return nodes.emplace_back();
}

}  // namespace

Tape& Tape::current() {
  thread_local Tape tape;
  return tape;
}

void Tape::open(GradScope* scope) {
  static std::atomic<uint64_t> next_epoch{1};
  if (open_.empty()) {
    epoch_ = next_epoch.fetch_add(1);
    producers_.assign(1, kGone);  // var 0 means "none"
  }
  open_.push_back(scope);
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
    TapeNode& n = nodes_[i];
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
  TapeNode& n = append(nodes_);
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

}  // namespace rutile

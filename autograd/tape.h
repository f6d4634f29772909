// SPDX-License-Identifier: Apache-2.0
// Reverse-mode differentiation. A gradient scope records the ops that touch watched tensors; the
// gradient runs the ops' gradient rules backwards. Outside a scope nothing is recorded. The same
// code runs on symbolic tensors, which is how a traced step is differentiated.
//
//   GradScope scope;
//   scope.watch(w);
//   Tensor loss = ops::mean(ops::square(x * w));
//   std::vector<Tensor> g = scope.gradient(loss, {w});
//
// Scopes nest: the gradient of an inner scope is itself recorded by the outer one, which gives
// derivatives of any order. What was computed before a scope opened is a constant to it, and what
// only an inner scope watches is forgotten with that scope. A scope belongs to the thread that
// opened it and ends there; it should end before the scopes around it.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "rutile/core/tensor.h"
#include "rutile/ops/call.h"

namespace rutile {

class Tape;

class RUTILE_API GradScope {
 public:
  GradScope();
  ~GradScope();
  GradScope(const GradScope&) = delete;
  GradScope& operator=(const GradScope&) = delete;

  // Starts recording what is computed from `x` (floating point, otherwise Error{kType}). A tensor
  // that an outer scope watches must be watched here too before its gradient is asked for. Of
  // threads that watch one Tensor at a time each needs its own (reshape, State::read()).
  void watch(const Tensor& x);
  // Gradients of sum(y * dy) by each of `xs`, zeros where y does not depend on x. `dy` defaults to
  // one and then `y` must have a single element. A gradient has its x's shape and dtype. Unless
  // `retain`, the record is released on the way and a second call is an error.
  std::vector<Tensor> gradient(const Tensor& y, std::span<const Tensor> xs, const Tensor& dy = {},
                               bool retain = false);
  std::vector<Tensor> gradient(const Tensor& y, std::initializer_list<Tensor> xs,
                               const Tensor& dy = {}, bool retain = false) {
    return gradient(y, std::span<const Tensor>(xs.begin(), xs.size()), dy, retain);
  }
  // `hook` sees the finished gradient of `t` during gradient() and may return a replacement
  // (or an undefined Tensor to leave it). Hooks of one tensor run in order of registration.
  using Hook = std::function<Tensor(const Tensor&)>;
  void add_hook(const Tensor& t, Hook hook);
  // The same in whichever scope is open on this thread; false if none tracks `t`.
  static bool add_hook_if_tracked(const Tensor& t, Hook hook);

 private:
  friend class Tape;
  void check_thread() const;
  // Of sum(y_i * dy_i), the checks done.
  std::vector<Tensor> gradients(std::span<const Tensor> ys, std::span<const Tensor> xs,
                                std::span<const Tensor> dys, bool retain);

  Tape& tape_;
  TapeHook* outer_;  // what was recording before: non-null when this scope is nested
  size_t first_node_;
  uint32_t first_var_;
  std::vector<uint32_t> watched_;  // by watch() of this scope
  std::thread::id thread_ = std::this_thread::get_id();
  bool released_ = false;
  bool partial_ = false;  // of the tape itself, around a composition
};

// Stops recording while it lives (metrics inside a scope).
class RUTILE_API NoGradScope {
 public:
  NoGradScope() : scope_(call_modes().tape, nullptr) {}

 private:
  ScopedValue<TapeHook*> scope_;
};

struct ValueAndGrad {
  Tensor value;
  std::vector<Tensor> grads;
};
// fn(xs) and its gradients by all of xs; fn returns a tensor of one element.
RUTILE_API ValueAndGrad value_and_grad(const std::function<Tensor(const std::vector<Tensor>&)>& fn,
                                       const std::vector<Tensor>& xs);

}  // namespace rutile

// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/autograd/tape.h"
#include "rutile/autograd/tape_impl.h"
#include "rutile/ops/index.h"
#include "rutile/ops/integer_gradients.h"
#include "rutile/ops/view.h"

namespace rutile {

GradScope::GradScope()
    : tape_(Tape::current()), outer_(call_modes().tape), first_node_(tape_.num_nodes()) {
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
  const uint32_t var = tape_.watch(x);
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
  tape_.add_hook(var, std::move(hook));
}

bool GradScope::add_hook_if_tracked(const Tensor& t, Hook hook) {
  auto* tape = dynamic_cast<Tape*>(call_modes().tape);
  const uint32_t var = tape ? tape->var_of(t) : 0;
  if (var) tape->add_hook(var, std::move(hook));
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

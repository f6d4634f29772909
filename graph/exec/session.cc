// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/session.h"

#include <cstring>

#include "rutile/core/thread.h"
#include "rutile/ops/call.h"
#include "rutile/ops/communicator.h"

namespace rutile::graph {

namespace {

char* base_of(const Tensor& t) { return static_cast<char*>(t.impl()->data); }

}  // namespace

SessionHook*& session_hook() {
  static thread_local constinit SessionHook* hook = nullptr;
  return hook;
}

SessionHook*& running_hook() {
  static thread_local constinit SessionHook* hook = nullptr;
  return hook;
}

Session::Session(std::shared_ptr<const Program> program, std::shared_ptr<ArenaPool> arenas)
    : program_(std::move(program)), arenas_(std::move(arenas)) {
  const Program& p = *program_;
  if (!arenas_) arenas_ = std::make_shared<ArenaPool>();
  slots_.assign(p.slots.size(), nullptr);
  for (size_t i = 0; i < p.slots.size(); ++i) {
    const Pointer& q = p.slots[i];
    if (q.index == kNone) continue;
    switch (q.kind) {
      case BufferKind::kArena:
        arena_patches_.push_back({static_cast<int>(i), q});
        break;
      case BufferKind::kConstant:
        slots_[i] = base_of(p.constants[q.index]) + q.offset;
        break;
      case BufferKind::kFrozen:
        frozen_patches_.push_back({static_cast<int>(i), q});
        break;
      default:
        patches_.push_back({static_cast<int>(i), q});
    }
  }
}

void Session::check(const std::vector<Tensor>& inputs) {
  const Graph& g = *program_->graph;
  if (!program_->takes_inputs) return;
  if (inputs.size() != g.inputs.size()) {
    throw_error(ErrorCode::kValue, cat("this compiled function takes ", g.inputs.size(),
                                       " tensors, got ", inputs.size()));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    inputs[i].data();  // throws for a symbolic tensor
    if (!(inputs[i].meta() == g.meta(g.inputs[i]))) {
      throw_error(ErrorCode::kValue, cat("input ", i, " was compiled as ", g.meta(g.inputs[i]),
                                         ", got ", inputs[i].meta()));
    }
  }
  if (const std::string change = changed_state(); !change.empty()) {
    throw_error(ErrorCode::kValue, cat("compiled for other states: ", change));
  }
}

// What the run before left there is worth nothing, so the memory may be another one each time.
void Session::take_arena() {
  if (program_->memory.peak <= 0) return;
  arena_ = arenas_->take(program_->memory.peak);
  char* base = static_cast<char*>(arena_->data());
  // NaNs show the kernel that reads what nobody wrote.
  if (self_checks()) std::memset(base, 0xff, arena_->bytes());
  if (placed_in_ == base) return;
  for (const Patch& patch : arena_patches_) slots_[patch.slot] = base + patch.pointer.offset;
  placed_in_ = base;
}

void Session::bind(const std::vector<Tensor>& inputs, std::vector<Tensor>* outputs) {
  const Program& p = *program_;
  const Graph& g = *p.graph;
  check(inputs);
  if (p.frozen) frozen_ = p.frozen->get();
  if (frozen_ && frozen_->generation != frozen_generation_) {
    for (const Patch& patch : frozen_patches_) {
      const Pointer& q = patch.pointer;
      slots_[patch.slot] = base_of(frozen_->tensors[q.index]) + q.offset;
    }
    frozen_generation_ = frozen_->generation;
  }
  state_elements_.clear();
  state_elements_.resize(g.states.size());
  for (size_t i = 0; i < g.states.size(); ++i) {
    if (!p.state_read[i] && !p.state_written[i]) continue;
    const StateSlot& slot = g.states[i];
    state_elements_[i] =
        slot.state->elements(placement_of(g.meta(slot.in)), p.state_written[i] != 0);
  }
  outputs->reserve(p.outputs.size());
  for (const TensorMeta& m : p.outputs) outputs->push_back(Tensor::empty(m));
  for (const Patch& patch : patches_) {
    const Pointer& q = patch.pointer;
    char* base = nullptr;
    switch (q.kind) {
      case BufferKind::kInput:
        base = base_of(inputs[q.index]);
        break;
      case BufferKind::kOutput:
        base = base_of((*outputs)[q.index]);
        break;
      default:
        base = base_of(state_elements_[q.index]);
    }
    slots_[patch.slot] = base + q.offset;
  }
  take_arena();  // behind the packing of States, whose first versions it may replace
}

std::string Session::changed_state() const {
  const uint64_t writes = State::writes();
  if (unchanged_at_.load(std::memory_order_relaxed) == writes) return "";
  const Graph& g = *program_->graph;
  for (const StateSlot& slot : g.states) {
    const TensorMeta &now = slot.state->meta(), &then = g.meta(slot.in);
    if (now.dtype != then.dtype || !(now.device == then.device) || !(now.shape == then.shape)) {
      return cat("state ", slot.name, " was ", then, " and is ", now);
    }
  }
  unchanged_at_.store(writes, std::memory_order_relaxed);
  return "";
}

void Session::finish() {
  const Graph& g = *program_->graph;
  for (size_t i = 0; i < g.states.size(); ++i) {
    if (program_->state_written[i]) g.states[i].state->wrote(std::move(state_elements_[i]));
  }
  state_elements_.clear();
  frozen_.reset();
}

void Session::fail(size_t index, const Status& status) {
  const Step& step = program_->steps[index];
  std::string text = describe_failure(*program_->graph, step, status);
  if (static_cast<int>(index) >= program_->first_state_write) {
    finish();
    text += " | parameters and other states are only partly updated: load a checkpoint";
  }
  throw_error(status.code(), text);
}

void Session::run_steps(const Observer* after, SessionHook* hook) {
  void* const* slots = slots_.data();
  const std::vector<Step>& steps = program_->steps;
  if (hook || after) [[unlikely]]
    return run_steps_observed(after, hook);
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    const KernelArgs args{slots + s.first_in, slots + s.first_out,
                          s.workspace == kNone ? nullptr : slots[s.workspace]};
    if (Status status = s.plan->run(*s.plan, args); !status.ok()) [[unlikely]]
      fail(i, status);
  }
}

// The hook may throw behind a step, also behind one of a body.
void Session::run_steps_observed(const Observer* after, SessionHook* hook) {
  ScopedValue<SessionHook*> running(running_hook(), hook);
  struct Silent final : SessionHook {
    void after(const RunningStep&) override {}
  } silent;
  for (size_t i = 0; i < program_->steps.size(); ++i) {
    const Step& s = program_->steps[i];
    Status status;
    try {
      status = run_hooked({*program_->graph, s, slots_.data()}, hook ? *hook : silent);
      if (after && status.ok()) (*after)(s);
    } catch (...) {
      finish();
      throw;
    }
    if (!status.ok()) fail(i, status);
  }
}

std::vector<Tensor> Session::run(const std::vector<Tensor>& inputs) {
  SessionHook* hook = session_hook();
  if (!hook) [[likely]]
    return run_with(inputs, nullptr, {}, nullptr);
  try {
    std::vector<Tensor> outputs = run_with(
        inputs, nullptr, [&] { hook->started(*this); }, hook);
    hook->finished(*this);
    return outputs;
  } catch (...) {
    hook->finished(*this);
    throw;
  }
}

std::vector<Tensor> Session::run_observed(const std::vector<Tensor>& inputs, const Observer& after,
                                          const std::function<void()>& started) {
  return run_with(inputs, after ? &after : nullptr, started, nullptr);
}

std::vector<Tensor> Session::run_with(const std::vector<Tensor>& inputs, const Observer* after,
                                      const std::function<void()>& started, SessionHook* hook) {
  std::lock_guard lock(mutex_);
  ThreadCountScope threads(program_->threads);
  std::vector<Tensor> outputs;
  struct GiveBack {
    Session& s;
    ~GiveBack() {
      if (s.arena_) s.arenas_->give(std::move(s.arena_));
    }
  } give_back{*this};
  bind(inputs, &outputs);
  if (started) started();
  try {
    run_steps(after, hook);
  } catch (...) {
    drain_communicators();  // which may be at work in the arena
    throw;
  }
  finish();
  return outputs;
}

}  // namespace rutile::graph

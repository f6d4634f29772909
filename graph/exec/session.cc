// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/session.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "rutile/core/device_runtime.h"
#include "rutile/core/log.h"
#include "rutile/core/thread.h"
#include "rutile/graph/exec/control_plan.h"
#include "rutile/graph/exec/running.h"
#include "rutile/ops/call.h"
#include "rutile/ops/collective.h"
#include "rutile/ops/communicator.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/transfer.h"

namespace rutile::graph {

namespace {

constexpr const char* kPartlyUpdated =
    " | parameters and other states are only partly updated: load a checkpoint";

char* base_of(const Tensor& t) { return static_cast<char*>(t.impl()->data); }

// What a step left half done does not agree with what it was copied from.
void forget_copies(const Graph& g) {
  for (const StateSlot& s : g.states) {
    if (s.copy_of != kNone) *s.copied = 0;
  }
}

}  // namespace

SessionHook*& session_hook() {
  static thread_local constinit SessionHook* hook = nullptr;
  return hook;
}

SessionHook*& running_hook() {
  static thread_local constinit SessionHook* hook = nullptr;
  return hook;
}

SessionHook*& naming_hook() {
  static thread_local constinit SessionHook* hook = nullptr;
  return hook;
}

namespace {

const std::string* group_of(const Node& n) {
  const void* a = n.attrs.get();
  if (n.op == &ops::kAllReduce) return &static_cast<const ops::AllReduceAttrs*>(a)->group;
  if (n.op == &ops::kAllReduceStart || n.op == &ops::kAllReduceWait) {
    return &static_cast<const ops::AllReduceManyAttrs*>(a)->group;
  }
  if (n.op == &ops::kReduceScatter) return &static_cast<const ops::ReduceScatterAttrs*>(a)->group;
  if (n.op == &ops::kBroadcast) return &static_cast<const ops::BroadcastAttrs*>(a)->group;
  if (n.op == &ops::kAllGather || n.op == &ops::kAllToAll) {
    return &static_cast<const ops::GroupAttrs*>(a)->group;
  }
  return nullptr;
}

// A collective that its group queues on the device's streams; the group is noted.
bool group_takes(const Node& n, Device device, std::vector<std::string>* groups) {
  const std::string* name = group_of(n);
  std::shared_ptr<Communicator> found;
  if (!name || !find_communicator(*name, &found).ok() || !found->takes(device)) return false;
  if (std::find(groups->begin(), groups->end(), *name) == groups->end()) groups->push_back(*name);
  return true;
}

// Why the program's steps cannot be captured once and launched as one; empty: they can. They can
// where they do the same work for the same pointers. RUTILE_CAPTURE=0 launches them one by one.
std::string why_not_captured(const Program& p, std::vector<std::string>* groups) {
  static const bool wanted = [] {
    const char* v = std::getenv("RUTILE_CAPTURE");
    return !v || std::string_view(v) != "0";
  }();
  if (!p.stream) return "the cpu captures nothing";
  if (!wanted) return "RUTILE_CAPTURE=0 was set";
  if (!device_runtime(p.device).fns().capture_begin) return cat(p.device, " captures nothing");
  for (const Step& s : p.steps) {
    if (s.node == kNone) continue;
    const Node& n = p.graph->nodes[s.node];
    const bool host = n.op->effects != kPure && !group_takes(n, p.device, groups);
    const std::string inside = graph::why_not_captured(*s.plan);
    const std::string why = !inside.empty()           ? cat(": ", inside)
                            : host                    ? " works on the host"
                            : n.op == &ops::kToDevice ? " copies between devices"
                                                      : "";
    if (why.empty()) continue;
    const std::string where = origin_text(*p.graph, n);
    return cat(n.op->name, why, where.empty() ? "" : cat(" | in ", where));
  }
  return "";
}

}  // namespace

Status finish_step(const RunningStep& s) {
  const Node* n = s.node();
  if (n == nullptr || n->outputs.empty()) return Status();
  const Device device = s.graph.meta(n->outputs.front()).device;
  return device == kCpu ? Status() : device_runtime(device).synchronize();
}

Session::Session(std::shared_ptr<const Program> program, std::shared_ptr<ArenaPool> arenas)
    : program_(std::move(program)), arenas_(std::move(arenas)) {
  const Program& p = *program_;
  if (!arenas_) arenas_ = std::make_shared<ArenaPool>();
  not_captured_ = why_not_captured(p, &groups_);
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

Session::~Session() {
  for (const Captured& c : captured_) {
    if (!c.graph) continue;
    (void)device_runtime(program_->device).fns().graph_destroy(program_->device.index, c.graph);
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
    if (inputs[i].is_symbolic()) inputs[i].data();  // throws
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
  const Device device = program_->device;
  arena_ = arenas_->take(program_->memory.peak, device);
  char* base = static_cast<char*>(arena_->data());
  // NaNs show the kernel that reads what nobody wrote.
  if (self_checks() && device == kCpu) std::memset(base, 0xff, arena_->bytes());
  if (self_checks() && !(device == kCpu)) {
    throw_if_error(device_runtime(device).fill(base, 0xff, arena_->bytes()));
  }
  if (placed_in_ == base) return;
  for (const Patch& patch : arena_patches_) slots_[patch.slot] = base + patch.pointer.offset;
  placed_in_ = base;
}

// States that are copies of others, where somebody else has written those.
void Session::refresh_copies() {
  for (const StateSlot& s : program_->graph->states) {
    if (s.copy_of == kNone) continue;
    const State& of = *program_->graph->states[static_cast<size_t>(s.copy_of)].state;
    const uint64_t version = of.version();
    if (version == *s.copied) continue;
    ScopedValue<CallModes> direct(call_modes(), CallModes());
    s.state->set_concrete(ops::cast(of.concrete(), program_->graph->meta(s.in).dtype));
    *s.copied = version;
  }
}

void Session::bind(const std::vector<Tensor>& inputs, std::vector<Tensor>* outputs) {
  const Program& p = *program_;
  const Graph& g = *p.graph;
  check(inputs);
  refresh_copies();
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
  if (stages_) stage_inputs(inputs);
  for (const Patch& patch : patches_) {
    const Pointer& q = patch.pointer;
    char* base = nullptr;
    switch (q.kind) {
      case BufferKind::kInput:
        base = base_of(stages_ ? staged_in_[q.index] : inputs[q.index]);
        break;
      case BufferKind::kOutput:
        base = base_of(stages_ ? staged_out_[q.index] : (*outputs)[q.index]);
        break;
      default:
        base = base_of(state_elements_[q.index]);
    }
    slots_[patch.slot] = base + q.offset;
  }
  take_arena();  // behind the packing of States, whose first versions it may replace
}

void Session::bring_states() {
  if (unchanged_at_.load(std::memory_order_relaxed) == State::writes()) {
    return;
  }
  const Graph& g = *program_->graph;
  for (const StateSlot& slot : g.states) {
    const Device then = g.meta(slot.in).device;
    if (slot.state->meta().device == then) continue;
    ScopedValue<CallModes> direct(call_modes(), CallModes());
    slot.state->set_concrete(ops::to_device(slot.state->concrete(), then));
  }
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
  for (const StateSlot& s : g.states) {
    if (s.copy_of != kNone) *s.copied = g.states[static_cast<size_t>(s.copy_of)].state->version();
  }
  state_elements_.clear();
  frozen_.reset();
}

bool Session::writes_begun(size_t index) const {
  return static_cast<int>(index) >= program_->first_state_write;
}

void Session::give_up_writes() {
  finish();
  forget_copies(*program_->graph);
}

void Session::fail(size_t index, const Status& status) {
  const Step& step = program_->steps[index];
  std::string text = describe_failure(*program_->graph, step, status);
  if (writes_begun(index)) {
    give_up_writes();
    text += kPartlyUpdated;
  }
  throw_error(status.code(), text);
}

void Session::run_steps(const Observer* after, SessionHook* hook) {
  void* const* slots = slots_.data();
  const std::vector<Step>& steps = program_->steps;
  const bool waits = program_->stream && log_enabled(LogTopic::kSync);
  if (hook || after || waits) [[unlikely]]
    return run_steps_observed(after, hook);
  if (stages_ && run_captured()) return;
  const Stream stream = program_->stream;
  const RunningOpScope kept(running_op());
  SessionHook* const names = naming_hook();
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    if (stream) running_op() = running_step(*program_->graph, s);
    const StepName named(names, {*program_->graph, s, slots, stream});
    const KernelArgs args{slots + s.first_in, slots + s.first_out,
                          s.workspace == kNone ? nullptr : slots[s.workspace], stream};
    if (Status status = s.plan->run(*s.plan, args); !status.ok()) [[unlikely]]
      fail(i, status);
  }
}

// Inputs are copied to where the captured steps read them. Those with gaps are read in place.
void Session::stage_inputs(const std::vector<Tensor>& inputs) {
  const Program& p = *program_;
  DeviceRuntime& runtime = device_runtime(p.device);
  staged_in_.resize(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorMeta& m = inputs[i].meta();
    if (!(m.device == p.device) || (m.layout == kStrided && !m.is_dense())) {
      staged_in_[i] = inputs[i];
      continue;
    }
    if (!staged_in_[i].defined()) staged_in_[i] = Tensor::empty(m);
    if (m.nbytes() == 0) continue;
    throw_if_error(runtime.on_device(base_of(staged_in_[i]), base_of(inputs[i]),
                                     static_cast<size_t>(m.nbytes())));
  }
  if (!staged_out_.empty()) return;
  for (const TensorMeta& m : p.outputs) staged_out_.push_back(Tensor::empty(m));
}

void Session::unstage_outputs(const std::vector<Tensor>& outputs) {
  DeviceRuntime& runtime = device_runtime(program_->device);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto bytes = static_cast<size_t>(outputs[i].meta().nbytes());
    if (bytes == 0) continue;
    throw_if_error(runtime.on_device(base_of(outputs[i]), base_of(staged_out_[i]), bytes));
  }
}

// On a stream of its own: what other threads queue on the program's stream meanwhile runs.
Status Session::capture_steps(CapturedGraph* graph) {
  const DeviceFns& fns = device_runtime(program_->device).fns();
  const int device = program_->device.index;
  Stream stream = nullptr;
  RUTILE_RETURN_IF_ERROR(fns.stream_create(device, StreamKind::kCompute, &stream));
  Status s = fns.capture_begin(device, stream);
  if (s.ok()) {
    const RunningOpScope kept(running_op());
    const ScopedValue<bool> capturing(capturing_steps(), true);
    for (const Step& step : program_->steps) {
      running_op() = running_step(*program_->graph, step);
      const StepName named(naming_hook(), {*program_->graph, step, slots_.data(), stream});
      const KernelArgs args{slots_.data() + step.first_in, slots_.data() + step.first_out,
                            step.workspace == kNone ? nullptr : slots_[step.workspace], stream};
      s = step.plan->run(*step.plan, args);
      if (s.ok()) continue;
      const char* op = step.node == kNone ? "a copy" : program_->graph->nodes[step.node].op->name;
      s = Status(s.code(), cat(op, " cannot be captured: ", s.message()));
      break;
    }
    Status ended = fns.capture_end(device, stream, graph);
    if (!s.ok() && ended.ok()) (void)fns.graph_destroy(device, *graph);
    if (s.ok()) s = std::move(ended);
  }
  (void)fns.stream_destroy(device, stream);
  return s;
}

// False where the steps are to run one by one: for new pointers once, so that whatever kernels make
// in their first run is there, and always where the device refused.
bool Session::run_captured() {
  constexpr size_t kMost = 4;  // sets of pointers: States move when somebody holds them
  const DeviceFns& fns = device_runtime(program_->device).fns();
  const int device = program_->device.index;
  auto found = std::find_if(captured_.begin(), captured_.end(),
                            [this](const Captured& c) { return c.slots == slots_; });
  if (found == captured_.end()) {
    if (captured_.size() == kMost) {
      if (captured_.front().graph) (void)fns.graph_destroy(device, captured_.front().graph);
      captured_.erase(captured_.begin());
    }
    captured_.push_back({slots_});
    return false;
  }
  // A recording can tell which step a kernel is of where it saw the capture. Ranks capture
  // together.
  const uint64_t names = naming_hook() ? naming_hook()->names_steps() : 0;
  if (found->graph && names != 0 && found->names != names && groups_.empty()) {
    (void)fns.graph_destroy(device, std::exchange(found->graph, nullptr));
    --graphs_;
  }
  if (!found->graph) {
    found->names = names;
    for (const std::string& g : groups_) (void)communicator(g)->take_captured(program_->device);
    if (const Status s = capture_steps(&found->graph); !s.ok()) {
      found->graph = nullptr;
      not_captured_ = s.message();
      log_warning(cat("a step is launched kernel by kernel: ", not_captured_));
      return false;
    }
    ++graphs_;
    for (const std::string& g : groups_) {
      found->collectives.push_back(communicator(g)->take_captured(program_->device));
    }
  }
  for (const std::string& g : groups_) throw_if_error(communicator(g)->health());
  throw_if_error(fns.graph_launch(device, found->graph, program_->stream));
  for (size_t i = 0; i < groups_.size(); ++i) {
    throw_if_error(communicator(groups_[i])
                       ->replayed(found->collectives[i], program_->device, program_->stream));
  }
  ++replays_;
  return true;
}

Session::Capture Session::capture() const {
  std::lock_guard lock(mutex_);
  return {not_captured_, graphs_, replays_};
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
      const RunningStep running{*program_->graph, s, slots_.data(), program_->stream};
      status = run_hooked(running, hook ? *hook : silent);
      if (after && status.ok()) (*after)(s);
    } catch (const Error& e) {
      if (!writes_begun(i)) throw;
      give_up_writes();
      throw_error(e.code(), cat(e.message(), kPartlyUpdated));
    } catch (...) {
      if (writes_begun(i)) give_up_writes();
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
    SessionHook* const watching = hook->wants_steps(*this) ? hook : nullptr;
    const bool names = !watching && hook->names_steps() != 0;
    const ScopedValue<SessionHook*> naming(naming_hook(), names ? hook : nullptr);
    std::vector<Tensor> outputs = run_with(
        inputs, nullptr, [&] { hook->started(*this); }, watching);
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
  stages_ = not_captured_.empty() && !after && !hook && !log_enabled(LogTopic::kSync);
  bind(inputs, &outputs);
  if (started) started();
  try {
    run_steps(after, hook);
  } catch (...) {
    drain_communicators();  // which may be at work in the arena
    state_elements_.clear();
    frozen_.reset();
    throw;
  }
  if (stages_) unstage_outputs(outputs);
  finish();
  return outputs;
}

}  // namespace rutile::graph

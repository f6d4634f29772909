// SPDX-License-Identifier: Apache-2.0
// Sees the steps of compiled functions as they run, those inside the bodies of their branches and
// loops included.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rutile/graph/exec/program.h"

namespace rutile::graph {

class Session;

// A step where it runs: in a session's graph, or in a body's.
struct RunningStep {
  const Graph& graph;  // that `step.node` is a node of
  const Step& step;
  void* const* slots;
  Stream stream = nullptr;

  const Node* node() const { return step.node == kNone ? nullptr : &graph.nodes[step.node]; }
  bool runs_bodies() const { return step.copied == 0 && node() && node()->op->runs_bodies; }
  // What it wrote, in the memory of its device.
  const void* out(size_t i) const { return slots[static_cast<size_t>(step.first_out) + i]; }
};

// For profiler and anomaly detection.
class SessionHook {
 public:
  virtual ~SessionHook() = default;
  // False: the session runs as it always does; of its steps the hook sees nothing.
  virtual bool wants_steps(const Session&) { return true; }
  // Of a hook that wants to know for which step work is queued, without anybody waiting for it: a
  // number of its own; 0: it does not. Steps captured before are captured again for that number.
  virtual uint64_t names_steps() { return 0; }
  virtual void queues(const RunningStep&) {}  // the innermost one counts, in bodies, too
  virtual void queued() {}
  virtual void started(const Session&) {}
  // Before a step that runs bodies. Their steps follow, those of every iteration.
  virtual void entered(const RunningStep&) {}
  // Behind a step. What it throws ends the run.
  virtual void after(const RunningStep&) = 0;
  virtual void finished(const Session&) {}  // also when the run failed
};
// The calling thread's; null: sessions run bare.
RUTILE_API SessionHook*& session_hook();
// The hook of the session that the calling thread is running, for the bodies of its steps.
SessionHook*& running_hook();
// The hook that is to know for which step the calling thread queues work; null: none.
SessionHook*& naming_hook();

// While it lives, what is queued is the step's.
class StepName {
 public:
  StepName(SessionHook* hook, const RunningStep& step) : hook_(hook) {
    if (hook_) [[unlikely]]
      hook_->queues(step);
  }
  ~StepName() {
    if (hook_) [[unlikely]]
      hook_->queued();
  }
  StepName(const StepName&) = delete;
  StepName& operator=(const StepName&) = delete;

 private:
  SessionHook* const hook_;
};

// Waits for what the step queued on its device.
Status finish_step(const RunningStep& s);

// Runs a step under a hook.
inline Status run_hooked(const RunningStep& s, SessionHook& hook) {
  if (s.runs_bodies()) hook.entered(s);
  const KernelArgs args{s.slots + s.step.first_in, s.slots + s.step.first_out,
                        s.step.workspace == kNone ? nullptr : s.slots[s.step.workspace], s.stream};
  Status status = s.step.plan->run(*s.step.plan, args);
  if (status.ok() && s.stream) status = finish_step(s);
  if (status.ok()) hook.after(s);
  return status;
}

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Sees the steps of compiled functions as they run, those inside the bodies of their branches and
// loops included.
#pragma once

#include <cstddef>

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

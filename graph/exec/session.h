// SPDX-License-Identifier: Apache-2.0
// A Session replays a Program: it owns the pointer slots, and the arena while it runs.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "rutile/graph/exec/arena.h"
#include "rutile/graph/exec/frozen.h"
#include "rutile/graph/exec/session_hook.h"
#include "rutile/ops/communicator.h"

namespace rutile::graph {

class RUTILE_API Session {
 public:
  // Takes its memory from `arenas`; without one it has its own.
  explicit Session(std::shared_ptr<const Program> program,
                   std::shared_ptr<ArenaPool> arenas = nullptr);
  ~Session();

  // One run. Inputs and States must have the metas that the program was made for. Outputs are fresh
  // tensors: what the caller keeps survives the next run. States are updated in place, or on a copy
  // where somebody holds their elements. A run that fails for the values it reads (an index out of
  // range) leaves the States as they were; the error of any other failure behind the first update
  // says that they are not. One run at a time; a second thread waits.
  std::vector<Tensor> run(const std::vector<Tensor>& inputs);

  // As run(), calling `after` behind every step of its own, and `started` before the first; slower.
  // For debugger, verify and explain.
  using Observer = std::function<void(const Step&)>;
  std::vector<Tensor> run_observed(const std::vector<Tensor>& inputs, const Observer& after,
                                   const std::function<void()>& started = {});

  // Moves States back to the device that the program was made for: a generator that drew elsewhere.
  void bring_states();
  // What differs, in words, between a State and what the program was made for; empty if nothing.
  std::string changed_state() const;
  const Program& program() const { return *program_; }
  // Of a device that can capture: how its runs are launched.
  struct Capture {
    std::string refused;  // why its kernels are launched one by one; empty: they are one graph
    int graphs = 0;       // captured so far: one for each set of pointers
    int64_t replays = 0;  // runs that were one launch
  };
  Capture capture() const;
  // What the caller wants to remember with this compilation.
  std::shared_ptr<const void> note;

 private:
  void bind(const std::vector<Tensor>& inputs, std::vector<Tensor>* outputs);
  void check(const std::vector<Tensor>& inputs);
  void take_arena();
  void refresh_copies();
  std::vector<Tensor> run_with(const std::vector<Tensor>& inputs, const Observer* after,
                               const std::function<void()>& started, SessionHook* hook);
  void run_steps(const Observer* after, SessionHook* hook);
  void run_steps_observed(const Observer* after, SessionHook* hook);
  bool run_captured();
  Status capture_steps(CapturedGraph* graph);
  void stage_inputs(const std::vector<Tensor>& inputs);
  void unstage_outputs(const std::vector<Tensor>& outputs);
  void finish();
  bool writes_begun(size_t index) const;
  // After a failure among the writes: copies of States may not match them any more.
  void give_up_writes();
  [[noreturn]] void fail(size_t index, const Status& status);
  struct Patch {
    int slot = 0;
    Pointer pointer;
  };
  // The steps as one graph of the device, for these pointers. Null: they ran with them once.
  struct Captured {
    std::vector<void*> slots;
    CapturedGraph graph = nullptr;
    uint64_t names = 0;  // SessionHook::names_steps() while it was captured
    std::vector<std::vector<Collective>> collectives = {};  // of each of groups_
  };
  std::shared_ptr<const Program> program_;
  std::string not_captured_;         // why not
  std::vector<std::string> groups_;  // whose collectives are captured
  std::vector<Captured> captured_;   // the newest last
  int graphs_ = 0;
  int64_t replays_ = 0;
  // What captured steps read and write instead of the caller's inputs and outputs.
  std::vector<Tensor> staged_in_, staged_out_;
  bool stages_ = false;  // in this run
  std::shared_ptr<ArenaPool> arenas_;
  Ref<Storage> arena_;               // during a run
  const void* placed_in_ = nullptr;  // the arena that the slots point into
  std::vector<void*> slots_;
  std::vector<Tensor> state_elements_;  // of this run, by state slot
  std::vector<Patch> patches_;          // slots that change from run to run
  std::vector<Patch> arena_patches_;    // slots that change with the arena
  std::vector<Patch> frozen_patches_;   // slots that change with the frozen values
  std::shared_ptr<const Frozen::Values> frozen_;
  uint64_t frozen_generation_ = 0;  // that frozen_patches_ were made for
  // State::writes() when no State's meta had changed.
  mutable std::atomic<uint64_t> unchanged_at_{0};
  mutable std::mutex mutex_;
};

}  // namespace rutile::graph

// SPDX-License-Identifier: Apache-2.0
// Where the time goes: ops that run eagerly and kernels of compiled steps, on the thread that makes
// the Profiler, as a table per op and per Cell and as a trace that Chrome (chrome://tracing) and
// Perfetto (ui.perfetto.dev) show.
//
//   profile::Profiler profiler;
//   for (int i = 0; i < 10; ++i) {
//     profile::Span span("step");      // a bar of one's own
//     step(x, y);
//   }
//   profiler.stop();
//   std::fputs(profiler.table().c_str(), stdout);
//   profiler.write("trace.json");
//
// Nothing is measured, and nothing paid, where no Profiler runs. While one does, an event costs
// about a microsecond and a compiled step runs its kernels one by one in the observed loop: times
// of small kernels include that. graph::explain compares kernels with their limits.
//
// A GPU says itself when its kernels, copies and fills began and ended (CUPTI). Steps run there as
// they always do, as one graph; ops and steps of the host then last as long as it takes to queue
// them. Where the device says nothing, its steps run kernel by kernel, and the host waits for each.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rutile/core/api.h"

namespace rutile::profile {

struct ProfilerOptions {
  bool shapes = true;  // operands of each event: "f32[64,784] f32[10,784] -> f32[64,10]"
  int64_t max_events = 1'000'000;  // later ones are counted, not kept
  bool device = true;              // what devices say; false: compiled steps run kernel by kernel
};

// kDevice: what a device says of its work, of any thread.
enum class EventKind : uint8_t { kOp, kKernel, kRun, kSpan, kDevice };

struct Event {
  EventKind kind = EventKind::kOp;
  std::string name;    // of the op, the compiled function, the span, the device's kernel
  std::string kernel;  // of a compiled step: "dnnl_conv"; of kDevice the op that queued it
  std::string cell;    // "layer1.0.conv1"
  std::string place;   // "net.cc:12", the user's line
  std::string operands;
  std::string phase;            // "forward", "backward", "optimizer"
  double start_us = 0, us = 0;  // from the start of the Profiler
  double self_us = 0;           // without the events inside it
  int depth = 0;                // number of events around it
  // Of kDevice: "cuda:0", a number of its own, bytes copied or filled.
  std::string device;
  int64_t stream = 0, bytes = 0;
};

// One at a time in a thread; it ends in the thread that made it.
class RUTILE_API Profiler {
 public:
  // Starts at once. Error{kRuntime} where the thread has one that runs.
  explicit Profiler(ProfilerOptions options = {});
  ~Profiler();
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  void stop();  // again: nothing. Error{kRuntime} in another thread than the one it records
  // In order of their start; complete after stop().
  const std::vector<Event>& events() const;
  int64_t dropped() const;  // beyond ProfilerOptions::max_events
  double seconds() const;   // from start to stop, or until now

  // A line for each device: launches a step, kernels, how long it had nothing to do. Why there is
  // none, where a device was in use. Complete after stop().
  std::string devices() const;

  // Time by op (and kernel), of devices by kernel, and by Cell with all below it, slowest first, at
  // most `rows` each.
  std::string table(int rows = 25) const;
  // The trace-event format: {"traceEvents": [...]}.
  std::string to_json() const;
  // Writes to_json() to a file; Error{kIo} where that cannot be done.
  void write(const std::string& path) const;

 private:
  friend class Span;
  class Recorder;
  std::shared_ptr<Recorder> recorder_;
};

// A bar around a part of the program, in the Profiler of this thread; nothing without one.
class RUTILE_API Span {
 public:
  explicit Span(std::string_view name);
  ~Span();
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;

 private:
  void* recorder_ = nullptr;
  uint64_t id_ = 0;
};

}  // namespace rutile::profile

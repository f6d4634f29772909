// SPDX-License-Identifier: Apache-2.0
// What a device says of its own work: when each kernel, copy and fill began and ended. Streams go
// on undisturbed, captured graphs included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rutile/core/device.h"
#include "rutile/core/error.h"

namespace rutile {

enum class ActivityKind : uint8_t { kKernel, kCopy, kFill };

struct DeviceActivity {
  ActivityKind kind = ActivityKind::kKernel;
  std::string name;                  // of the kernel; "copy to device", "fill"
  int64_t start_ns = 0, end_ns = 0;  // of std::chrono::steady_clock
  int device = 0;
  int64_t stream = 0;   // a number of the device's own
  int64_t bytes = 0;    // copied or filled
  uint64_t launch = 0;  // the same for all that one launch queued: a graph's
  bool graph = false;   // part of a captured graph
  // What push() said when it was queued; of a graph that was captured since the recording began
  // what it said then. 0: nothing.
  uint64_t op = 0;
  std::string detail;  // "12x1x1 blocks of 256 threads, 40 registers, 1024 bytes shared"
};

// What a plugin gives for it. One recording at a time in the process. The devices are idle at both
// ends: start_recording and stop_recording wait for them.
struct ActivityFns {
  Status (*start)() = nullptr;
  // `lost`: what there was no room for.
  Status (*stop)(std::vector<DeviceActivity>* all, int64_t* lost) = nullptr;
  // What this thread queues until pop() belongs to `op`. They nest.
  void (*push)(uint64_t op) = nullptr;
  void (*pop)() = nullptr;
};
// Called by a plugin while it starts; `functions` live for ever.
RUTILE_API void set_device_activity(DeviceType type, const ActivityFns* functions);
// Null where the device was not opened or says nothing.
RUTILE_API const ActivityFns* device_activity(DeviceType type);

// What was queued before is not recorded, and what was queued since is. Work that failed earlier
// throws in start_recording; what failed since is stop_recording's Status.
RUTILE_API Status start_recording(const ActivityFns& fns);
RUTILE_API Status stop_recording(const ActivityFns& fns, std::vector<DeviceActivity>* all,
                                 int64_t* lost);

// Of what was recorded of one device: launches, and how much of the time it had nothing to do.
struct ActivitySummary {
  int64_t kernels = 0, copies = 0, fills = 0;
  int64_t launches = 0;  // of kernels: a captured graph is one
  double window_ms = 0;  // from the first beginning to the last end
  double busy_ms = 0;    // of it, with at least one at work
  int64_t gaps = 0;      // in between with none
  double longest_gap_ms = 0;
  std::string behind;  // what ended before the longest

  double gap_ms() const { return window_ms - busy_ms; }
};
RUTILE_API ActivitySummary summarize(const std::vector<DeviceActivity>& all, int device);
// "1 launch, 384 kernels, ...; busy 12.3 of 13.0 ms, 31 gaps, ..."
RUTILE_API std::string to_string(const ActivitySummary& s);

}  // namespace rutile

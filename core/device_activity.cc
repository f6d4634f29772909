// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device_activity.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <set>

#include "rutile/core/device_runtime.h"

namespace rutile {
namespace {

std::atomic<const ActivityFns*> g_activity[kNumDeviceTypes];

std::string count(int64_t n, const char* what) { return cat(n, " ", what, n == 1 ? "" : "s"); }
double rounded(double ms) { return std::round(ms * 1e3) / 1e3; }

}  // namespace

void set_device_activity(DeviceType type, const ActivityFns* functions) {
  g_activity[static_cast<int>(type)].store(functions, std::memory_order_release);
}

const ActivityFns* device_activity(DeviceType type) {
  return g_activity[static_cast<int>(type)].load(std::memory_order_acquire);
}

Status start_recording(const ActivityFns& fns) {
  synchronize_devices();
  return fns.start();
}

Status stop_recording(const ActivityFns& fns, std::vector<DeviceActivity>* all, int64_t* lost) {
  Status first;
  try {
    synchronize_devices();
  } catch (const Error& e) {
    first = Status(e.code(), e.message());
  }
  Status stopped = fns.stop(all, lost);
  if (first.ok()) first = std::move(stopped);
  return first;
}

ActivitySummary summarize(const std::vector<DeviceActivity>& all, int device) {
  ActivitySummary s;
  std::vector<const DeviceActivity*> mine;
  std::set<uint64_t> launches;
  for (const DeviceActivity& a : all) {
    if (a.device != device) continue;
    mine.push_back(&a);
    switch (a.kind) {
      case ActivityKind::kKernel:
        ++s.kernels;
        break;
      case ActivityKind::kCopy:
        ++s.copies;
        break;
      case ActivityKind::kFill:
        ++s.fills;
        break;
    }
    if (a.kind == ActivityKind::kKernel || a.graph) launches.insert(a.launch);
  }
  s.launches = static_cast<int64_t>(launches.size());
  if (mine.empty()) return s;
  std::stable_sort(mine.begin(), mine.end(),
                   [](const auto* a, const auto* b) { return a->start_ns < b->start_ns; });
  const auto ms = [](int64_t ns) { return 1e-6 * static_cast<double>(ns); };
  int64_t busy = 0, longest = 0;
  const DeviceActivity* last = nullptr;  // of those so far, the one that ends last
  for (const DeviceActivity* a : mine) {
    const int64_t from = last ? std::max(a->start_ns, last->end_ns) : a->start_ns;
    busy += std::max<int64_t>(a->end_ns - from, 0);
    if (last && a->start_ns > last->end_ns) {
      ++s.gaps;
      if (const int64_t gap = a->start_ns - last->end_ns; gap > longest) {
        longest = gap;
        s.behind = last->name;
      }
    }
    if (!last || a->end_ns > last->end_ns) last = a;
  }
  s.window_ms = ms(last->end_ns - mine.front()->start_ns);
  s.busy_ms = ms(busy);
  s.longest_gap_ms = ms(longest);
  return s;
}

std::string to_string(const ActivitySummary& s) {
  std::string text = cat(s.launches, s.launches == 1 ? " launch" : " launches", " of ",
                         count(s.kernels, "kernel"));
  if (s.copies) text += s.copies == 1 ? ", 1 copy" : cat(", ", s.copies, " copies");
  if (s.fills) text += cat(", ", count(s.fills, "fill"));
  text += cat("; busy ", rounded(s.busy_ms), " of ", rounded(s.window_ms), " ms, ",
              count(s.gaps, "gap"));
  if (s.gaps) text += cat(", the longest ", rounded(s.longest_gap_ms), " ms behind ", s.behind);
  return text;
}

}  // namespace rutile

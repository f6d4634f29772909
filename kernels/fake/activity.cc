// SPDX-License-Identifier: Apache-2.0
#include "rutile/kernels/fake/activity.h"

#include <atomic>
#include <chrono>
#include <mutex>

#include "rutile/core/device_activity.h"

namespace rutile::fake {
namespace {

struct Recording {
  std::mutex mutex;
  std::atomic<bool> on{false};
  std::vector<DeviceActivity> all;
};
Recording& recording() {
  static auto* const r = new Recording();
  return *r;
}
thread_local std::vector<uint64_t> t_before;

Status start() {
  Recording& r = recording();
  const std::lock_guard lock(r.mutex);
  if (r.on) return Status(ErrorCode::kRuntime, "what the device does is being recorded already");
  r.all.clear();
  r.on = true;
  return Status();
}

Status stop(std::vector<DeviceActivity>* all, int64_t* lost) {
  Recording& r = recording();
  const std::lock_guard lock(r.mutex);
  r.on = false;
  *all = std::move(r.all);
  *lost = 0;
  r.all.clear();
  return Status();
}

void push(uint64_t op) {
  t_before.push_back(activity_op());
  activity_op() = op;
}
void pop() {
  if (t_before.empty()) return;
  activity_op() = t_before.back();
  t_before.pop_back();
}

constexpr ActivityFns kFns = {.start = start, .stop = stop, .push = push, .pop = pop};

}  // namespace

bool recording_activity() { return recording().on.load(std::memory_order_relaxed); }

uint64_t& activity_op() {
  static thread_local uint64_t op = 0;
  return op;
}
uint64_t& activity_launch() {
  static thread_local uint64_t launch = 0;
  return launch;
}
uint64_t next_launch() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

int64_t activity_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void record_activity(const char* what, int64_t stream, int64_t start_ns) {
  DeviceActivity a;
  a.kind = what ? ActivityKind::kKernel : ActivityKind::kCopy;
  a.name = what ? what : "copy";
  a.start_ns = start_ns;
  a.end_ns = activity_now();
  a.stream = stream;
  a.graph = activity_launch() != 0;
  a.launch = a.graph ? activity_launch() : next_launch();
  a.op = activity_op();
  Recording& r = recording();
  const std::lock_guard lock(r.mutex);
  r.all.push_back(std::move(a));
}

void register_activity() { set_device_activity(DeviceType::kFake, &kFns); }

}  // namespace rutile::fake

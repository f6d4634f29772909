// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/stream_sharing.h"

#include <atomic>
#include <utility>

#include "rutile/core/device_runtime.h"
#include "rutile/core/native_stream.h"

namespace rutile {
namespace {

std::atomic<const StreamSharing*> g_sharing[kNumDeviceTypes];

const StreamSharing* sharing(Device device) {
  return g_sharing[static_cast<int>(device.type)].load(std::memory_order_acquire);
}

// Calls f(event) with an event of the device.
template <class F>
Status with_event(DeviceRuntime& runtime, F&& f) {
  const int index = runtime.device().index;
  Event e = nullptr;
  RUTILE_RETURN_IF_ERROR(runtime.fns().event_create(index, &e));
  Status s = f(e);
  Status gone = runtime.fns().event_destroy(index, e);  // what is queued keeps its own
  return s.ok() ? std::move(gone) : std::move(s);
}

}  // namespace

void set_stream_sharing(DeviceType type, const StreamSharing* functions) {
  g_sharing[static_cast<int>(type)].store(functions, std::memory_order_release);
}

uintptr_t stream_number(Device device) {
  DeviceRuntime& runtime = device_runtime(device);  // opens the plugin, too
  const StreamSharing* const s = sharing(device);
  return s ? s->number(runtime.stream()) : 0;
}

uintptr_t native_stream(Device device, Stream stream) {
  (void)device_runtime(device);  // opens the plugin
  const StreamSharing* const s = sharing(device);
  return s ? s->number(stream) : 0;
}

Status hand_over(Device device, uintptr_t other) {
  DeviceRuntime& runtime = device_runtime(device);
  const StreamSharing* const s = sharing(device);
  if (!s) return runtime.fns().stream_sync(device.index, runtime.stream());
  if (other == s->number(runtime.stream())) return Status();
  return with_event(runtime, [&](Event e) {
    RUTILE_RETURN_IF_ERROR(runtime.fns().event_record(device.index, e, runtime.stream()));
    return s->wait(device.index, other, e);
  });
}

Status take_back(Device device, uintptr_t other) {
  DeviceRuntime& runtime = device_runtime(device);
  const StreamSharing* const s = sharing(device);
  if (!s || other == s->number(runtime.stream())) return Status();
  return with_event(runtime, [&](Event e) {
    RUTILE_RETURN_IF_ERROR(s->record(device.index, e, other));
    return runtime.fns().stream_wait(device.index, runtime.stream(), e);
  });
}

}  // namespace rutile

// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device_runtime.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "rutile/core/device_check.h"
#include "rutile/core/interrupt_hold.h"
#include "rutile/core/plugin.h"

namespace rutile {
namespace {

constexpr int kMaxDevices = 16;     // of a type
constexpr size_t kPiece = 8 << 20;  // of a copy through pinned memory

std::atomic<DeviceRuntime*> g_runtimes[kNumDeviceTypes][kMaxDevices];
std::mutex g_open;

Status describe(Device d, const Status& s) {
  return Status(s.code(), cat(to_string(d), ": ", s.message()));
}

using Clock = std::chrono::steady_clock;

// Waits for what the stream was given until now. An interrupt ends the wait, which is all that can
// be done from here: the device goes on, also through a loop that runs there as a whole, and the
// next wait is as good as this one. Short waits do not look for interrupts.
Status wait_for(const DeviceFns& fns, int index, PinnedPool& pool, Stream s) {
  constexpr auto kShort = std::chrono::milliseconds(1);
  Event done = nullptr;
  if (!fns.event_done || !pool.take_event(&done).ok()) return fns.stream_sync(index, s);
  const Clock::time_point start = Clock::now();
  bool is_done = false, stopped = false;
  Status status = fns.event_record(index, done, s);
  while (status.ok() && !is_done && !stopped) {
    status = fns.event_done(index, done, &is_done);
    const auto waited = Clock::now() - start;
    if (is_done || waited < kShort) continue;
    stopped = stop_within_step();
    // A thirtieth of the wait so far is lost at most.
    if (!stopped) std::this_thread::sleep_for(std::min<Clock::duration>(waited / 32, kShort));
  }
  pool.give_event(done);
  if (!stopped) return fns.stream_sync(index, s);  // says what failed
  return Status(ErrorCode::kInterrupted,
                "interrupted while waiting for the device, which goes on with what it was given; "
                "synchronize() waits for the rest");
}

}  // namespace

DeviceRuntime::DeviceRuntime(const DeviceFns& fns, int index)
    : fns_(fns), index_(index), pinned_(fns, index) {}

Status DeviceRuntime::start() {
  RUTILE_RETURN_IF_ERROR(fns_.describe(index_, &info_));
  for (StreamKind kind : {StreamKind::kCompute, StreamKind::kCopy, StreamKind::kCommunication}) {
    Status s = fns_.stream_create(index_, kind, &streams_[static_cast<int>(kind)]);
    if (s.ok()) continue;
    for (Stream made : streams_) {
      if (made) (void)fns_.stream_destroy(index_, made);
    }
    return s;
  }
  memory_ = std::make_unique<DeviceAllocator>(fns_, index_, stream());
  return Status();
}

Status DeviceRuntime::synchronize() {
  Status first;
  for (Stream s : streams_) {
    Status status = wait_for(fns_, index_, pinned_, s);
    if (status.code() == ErrorCode::kInterrupted) return describe(device(), status);
    if (first.ok()) first = std::move(status);
  }
  Status earlier = memory_->take_error();
  if (!earlier.ok()) first = std::move(earlier);
  return first.ok() ? Status() : describe(device(), first);
}

Status DeviceRuntime::to_host(void* to, const void* from, size_t bytes) {
  // The copy is still to come: the piece serves again behind it, or never.
  const auto give_behind_copy = [this](PinnedPool::Piece piece) {
    Event copied = nullptr;
    if (!pinned_.take_event(&copied).ok()) return;
    if (fns_.event_record(index_, copied, stream()).ok()) pinned_.give(piece, copied);
  };
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  while (bytes > 0) {
    const size_t n = std::min(bytes, kPiece);
    PinnedPool::Piece piece;
    RUTILE_RETURN_IF_ERROR(pinned_.take(n, &piece));
    Status s = fns_.copy(index_, piece.p, in, n, CopyKind::kToHost, stream());
    if (s.ok()) s = wait_for(fns_, index_, pinned_, stream());
    if (s.code() == ErrorCode::kInterrupted) {
      give_behind_copy(piece);
      return describe(device(), s);
    }
    if (Status earlier = memory_->take_error(); !earlier.ok()) s = std::move(earlier);
    if (s.ok()) std::memcpy(out, piece.p, n);
    pinned_.give(piece);
    if (!s.ok()) {
      Status known = run_device_checks(device());  // in better words
      return known.ok() ? describe(device(), s) : std::move(known);
    }
    in += n;
    out += n;
    bytes -= n;
  }
  return run_device_checks(device());
}

Status DeviceRuntime::to_device(void* to, const void* from, size_t bytes, StreamKind kind) {
  char* out = static_cast<char*>(to);
  const char* in = static_cast<const char*>(from);
  while (bytes > 0) {
    const size_t n = std::min(bytes, kPiece);
    PinnedPool::Piece piece;
    Event done = nullptr;
    RUTILE_RETURN_IF_ERROR(pinned_.take(n, &piece));
    std::memcpy(piece.p, in, n);
    Status s = pinned_.take_event(&done);
    if (s.ok()) s = fns_.copy(index_, out, piece.p, n, CopyKind::kToDevice, stream(kind));
    if (s.ok()) s = fns_.event_record(index_, done, stream(kind));
    if (!s.ok()) {
      (void)fns_.stream_sync(index_, stream(kind));  // the copy may be queued: it reads the piece
      if (done) pinned_.give_event(done);
      pinned_.give(piece);
      return describe(device(), s);
    }
    pinned_.give(piece, done);
    in += n;
    out += n;
    bytes -= n;
  }
  return Status();
}

Status DeviceRuntime::on_device(void* to, const void* from, size_t bytes) {
  if (bytes == 0) return Status();
  return fns_.copy(index_, to, from, bytes, CopyKind::kOnDevice, stream());
}

Status DeviceRuntime::fill(void* to, int byte, size_t bytes) {
  return bytes == 0 ? Status() : fns_.fill(index_, to, byte, bytes, stream());
}

Status DeviceRuntime::wait(StreamKind waiting, StreamKind of) {
  Event e = nullptr;
  RUTILE_RETURN_IF_ERROR(pinned_.take_event(&e));
  Status s = fns_.event_record(index_, e, stream(of));
  if (s.ok()) s = fns_.stream_wait(index_, stream(waiting), e);
  pinned_.give_event(e);  // the wait is for what was recorded, also when the event serves again
  return s;
}

Ref<Storage> DeviceRuntime::upload(const void* from, size_t bytes) {
  if (bytes == 0) return Storage::allocate(0, device());
  Ref<Storage> storage =
      Storage::adopt(memory_->allocate_on(bytes, stream(StreamKind::kCopy)), bytes, device());
  memory_->record_use(storage->data(), stream());
  Status s = to_device(storage->data(), from, bytes, StreamKind::kCopy);
  if (s.ok()) s = wait(StreamKind::kCompute, StreamKind::kCopy);
  throw_if_error(s);
  return storage;
}

Status open_device(Device device, DeviceRuntime** out) {
  *out = nullptr;
  if (device.type == DeviceType::kCpu) return value_error("the cpu has no device runtime");
  if (device.index < kMaxDevices) {
    auto& slot = g_runtimes[static_cast<int>(device.type)][device.index];
    *out = slot.load(std::memory_order_acquire);
    if (*out) return Status();
  }
  const DeviceFns* fns = nullptr;
  Status s = find_devices(device.type, &fns);
  if (!s.ok()) return Status(s.code(), cat(to_string(device), " cannot be used: ", s.message()));
  const int count = fns->count();
  if (device.index >= std::min(count, kMaxDevices)) {
    return Status(ErrorCode::kUnsupported,
                  count == 0 ? cat(to_string(device), " cannot be used: the plugin finds no device")
                             : cat(to_string(device), " cannot be used: there are ", count,
                                   " devices of this type"));
  }
  std::lock_guard lock(g_open);
  auto& slot = g_runtimes[static_cast<int>(device.type)][device.index];
  *out = slot.load(std::memory_order_acquire);
  if (*out) return Status();
  auto made = std::make_unique<DeviceRuntime>(*fns, device.index);
  s = made->start();
  if (!s.ok()) return Status(s.code(), cat(to_string(device), " cannot be used: ", s.message()));
  *out = made.release();  // lives on: tensors that static objects hold are freed at the very end
  slot.store(*out, std::memory_order_release);
  return Status();
}

DeviceRuntime& device_runtime(Device device) {
  DeviceRuntime* runtime = nullptr;
  if (device.index < kMaxDevices) {
    runtime =
        g_runtimes[static_cast<int>(device.type)][device.index].load(std::memory_order_acquire);
  }
  if (!runtime) throw_if_error(open_device(device, &runtime));
  return *runtime;
}

int device_count(DeviceType type) {
  if (type == DeviceType::kCpu) return 1;
  const DeviceFns* fns = nullptr;
  if (!find_devices(type, &fns).ok()) return 0;
  return std::clamp(fns->count(), 0, kMaxDevices);
}

void synchronize(Device device) {
  if (device.type != DeviceType::kCpu) throw_if_error(device_runtime(device).synchronize());
}

void synchronize_devices() {
  for (auto& type : g_runtimes) {
    for (auto& slot : type) {
      DeviceRuntime* runtime = slot.load(std::memory_order_acquire);
      if (runtime) throw_if_error(runtime->synchronize());
    }
  }
}

Status copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes) {
  if (bytes == 0) return Status();
  const bool to_cpu = to_device.type == DeviceType::kCpu;
  const bool from_cpu = from_device.type == DeviceType::kCpu;
  if (to_cpu && from_cpu) {
    std::memcpy(to, from, bytes);
    return Status();
  }
  if (to_cpu) return device_runtime(from_device).to_host(to, from, bytes);
  DeviceRuntime& runtime = device_runtime(to_device);
  if (from_cpu) return runtime.to_device(to, from, bytes);
  if (to_device == from_device) return runtime.on_device(to, from, bytes);
  auto host = std::make_unique<char[]>(bytes);  // between devices: through the host
  RUTILE_RETURN_IF_ERROR(device_runtime(from_device).to_host(host.get(), from, bytes));
  return runtime.to_device(to, host.get(), bytes);
}

namespace cuda {

int device_count() { return rutile::device_count(DeviceType::kCuda); }
bool is_available() { return cuda::device_count() > 0; }

std::string unavailable_reason() {
  if (is_available()) return "";
  DeviceRuntime* runtime = nullptr;
  return open_device({DeviceType::kCuda, 0}, &runtime).message();
}

}  // namespace cuda
}  // namespace rutile

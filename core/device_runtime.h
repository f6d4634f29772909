// SPDX-License-Identifier: Apache-2.0
// Devices at run time: opened on first use, each with its streams, memory and copies, built once
// for all plugins on their functions (core/device_plugin.h).
//
//   if (rutile::cuda::is_available()) {
//     Tensor x = Tensor::from<float>({1, 2, 3, 4}, {2, 2}).to({DeviceType::kCuda, 0});
//     synchronize(x.device());
//   }
//
// Work is queued: functions return before it is done, and its errors come with a later call that
// waits. RUTILE_LOG=sync waits behind every op, so that an error names the op and its Cell. All
// functions may be called from any thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rutile/core/device_allocator.h"
#include "rutile/core/device_plugin.h"

namespace rutile {

// Host memory that copies reach without staging; kept and reused.
class PinnedPool {
 public:
  PinnedPool(const DeviceFns& fns, int index) : fns_(fns), index_(index) {}
  struct Piece {
    char* p = nullptr;
    size_t bytes = 0;
  };
  // At least `bytes`; pieces whose copies are done serve again.
  Status take(size_t bytes, Piece* out);
  // Usable again at once, or behind `after` (which the pool keeps from then on).
  void give(Piece piece, Event after = nullptr);
  Status take_event(Event* out);
  void give_event(Event e);

 private:
  void collect_locked();
  Status wait_for_room();
  const DeviceFns& fns_;
  const int index_;
  std::mutex mutex_;
  std::vector<Piece> free_;
  struct Busy {
    Piece piece;
    Event after = nullptr;
  };
  std::vector<Busy> busy_;  // the oldest first
  size_t busy_bytes_ = 0;
  std::vector<Event> events_;
};

// One device. Lives until the process ends.
class RUTILE_API DeviceRuntime {
 public:
  DeviceRuntime(const DeviceFns& fns, int index);
  Status start();

  Device device() const { return {fns_.type, static_cast<uint8_t>(index_)}; }
  const DeviceFns& fns() const { return fns_; }
  const DeviceInfo& info() const { return info_; }
  Stream stream(StreamKind kind = StreamKind::kCompute) const {
    return streams_[static_cast<int>(kind)];
  }
  DeviceAllocator& memory() { return *memory_; }

  // Waits for all streams; the first error of what they ran.
  Status synchronize();
  // Behind the work of the compute stream; returns when the bytes are there.
  Status to_host(void* to, const void* from, size_t bytes);
  // Queued on a stream; `from` may be changed as soon as the call returns.
  Status to_device(void* to, const void* from, size_t bytes,
                   StreamKind kind = StreamKind::kCompute);
  Status on_device(void* to, const void* from, size_t bytes);
  Status fill(void* to, int byte, size_t bytes);
  // Later work of `waiting` runs behind what `of` has been given until now.
  Status wait(StreamKind waiting, StreamKind of);

  // Fresh memory for input of a step, filled over the copy stream while the compute stream still
  // works; what the compute stream is given later runs behind the copy.
  Ref<Storage> upload(const void* from, size_t bytes);

 private:
  const DeviceFns& fns_;
  const int index_;
  DeviceInfo info_;
  Stream streams_[3] = {};
  std::unique_ptr<DeviceAllocator> memory_;
  PinnedPool pinned_;
};

// The device, opened on first use. Throws kUnsupported, saying what is missing, where it cannot be
// used. Not for the cpu.
RUTILE_API DeviceRuntime& device_runtime(Device device);
// The same without an exception.
RUTILE_API Status open_device(Device device, DeviceRuntime** out);
// 0 without plugin, driver or device.
RUTILE_API int device_count(DeviceType type);
// The compute stream; null for the cpu.
inline Stream compute_stream(Device device) {
  return device.type == DeviceType::kCpu ? nullptr : device_runtime(device).stream();
}
// Waits until the device has done all that it was given; throws the first error among it. Nothing
// to do on the cpu.
RUTILE_API void synchronize(Device device);
// The same for all devices that were opened.
RUTILE_API void synchronize_devices();

// Copies of whole memory blocks between or on devices (either may be the cpu). Bytes from a device
// to the host are there on return.
RUTILE_API Status copy_bytes(void* to, Device to_device, const void* from, Device from_device,
                             size_t bytes);

namespace cuda {
RUTILE_API bool is_available();
RUTILE_API int device_count();
// Why is_available() is false: the library looked for, where, and the build wanted; else empty.
RUTILE_API std::string unavailable_reason();
}  // namespace cuda

}  // namespace rutile

// SPDX-License-Identifier: Apache-2.0
// The caching allocator: memory is kept and reused, since first touch of fresh pages is slower than
// most kernels. One per device; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rutile/core/api.h"
#include "rutile/core/device.h"
#include "rutile/core/ref.h"

namespace rutile {

struct MemoryStats {
  int64_t live_bytes = 0;       // handed out now
  int64_t peak_live_bytes = 0;  // since start or reset_peak
  int64_t cached_bytes = 0;     // free but kept
  int64_t largest_cached = 0;
  int64_t allocations = 0;         // requests served
  int64_t system_allocations = 0;  // requests that had to ask the system
};

class RUTILE_API Allocator {
 public:
  virtual ~Allocator() = default;
  // `bytes` > 0, aligned to 64. Throws Error{kOutOfMemory} with a full report when the limit or the
  // system refuses; freeing something and trying again works.
  virtual void* allocate(size_t bytes) = 0;
  virtual void deallocate(void* p, size_t bytes) noexcept = 0;
  virtual MemoryStats stats() const = 0;
  virtual void reset_peak() = 0;
  virtual void empty_cache() = 0;             // returns cached memory to the system
  virtual void set_limit(int64_t bytes) = 0;  // 0: no limit of ours
};

// The device's allocator, for the life of the process. Opens the device's plugin where it is not
// open yet (core/device_runtime.h); throws if that fails.
RUTILE_API Allocator& allocator(Device device);

// A counted block of memory: from an allocator, or foreign with a deleter (NumPy, DLPack, mmap).
class RUTILE_API Storage final : public RefCounted {
 public:
  static Ref<Storage> allocate(size_t bytes, Device device);
  // Takes over what the device's allocator gave.
  static Ref<Storage> adopt(void* data, size_t bytes, Device device);
  static Ref<Storage> borrow(void* data, size_t bytes, Device device, void (*deleter)(void*),
                             void* deleter_arg);
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  // Memory of somebody else, who may read it at any time.
  bool foreign() const { return deleter_ != nullptr; }

 private:
  Storage() = default;
  ~Storage() override;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Device device_;
  void (*deleter_)(void*) = nullptr;  // null: the allocator's
  void* deleter_arg_ = nullptr;
};

}  // namespace rutile

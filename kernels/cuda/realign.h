// SPDX-License-Identifier: Apache-2.0
// Libraries read 16 bytes at once: an operand that begins elsewhere, as a view of rows may, is
// copied to memory that begins right.
#pragma once

#include <cstdint>
#include <vector>

#include "rutile/core/allocator.h"
#include "rutile/core/device_runtime.h"

namespace rutile::cuda {

class Realigned {
 public:
  // Copies go to the device's compute stream, behind which the memory serves others again. While a
  // stream is captured there is no such memory: the graph would write to it at every launch.
  Realigned(Device device, Stream stream, bool captured)
      : device_(device), stream_(stream), captured_(captured) {}

  // `p` itself where it is aligned, else a copy of the `bytes` there.
  Status place(void* p, size_t bytes, void** out) {
    *out = p;
    if (reinterpret_cast<uintptr_t>(p) % 16 == 0 || bytes == 0) return Status();
    if (captured_) {
      return Status(ErrorCode::kUnsupported, "an operand lies at no multiple of 16 bytes");
    }
    try {
      pieces_.push_back(Storage::allocate(bytes, device_));
    } catch (const Error& e) {
      return Status(e.code(), e.what());
    }
    *out = pieces_.back()->data();
    const DeviceFns& fns = device_runtime(device_).fns();
    return fns.copy(device_.index, *out, p, bytes, CopyKind::kOnDevice, stream_);
  }

 private:
  const Device device_;
  const Stream stream_;
  const bool captured_;
  std::vector<Ref<Storage>> pieces_;
};

}  // namespace rutile::cuda

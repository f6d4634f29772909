// SPDX-License-Identifier: Apache-2.0
// Memory of a pretended device: one region of a file in memory, mapped twice. What the device hands
// out points into the mapping that the host may not touch; its own work goes through the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "rutile/core/error.h"

namespace rutile::fake {

class Memory {
 public:
  explicit Memory(size_t bytes);
  Status start();
  Status allocate(size_t bytes, void** out);
  Status release(void* p);
  void info(int64_t* free_bytes, int64_t* total_bytes);
  // Less than the region: requests beyond it fail. 0: the whole region.
  void set_limit(size_t bytes);
  bool owns(const void* p) const {
    return p >= static_cast<const void*>(device_) &&
           p <= static_cast<const void*>(device_ + bytes_);
  }
  // Where the device's own work finds what the host calls `p`.
  void* translate(const void* p) const { return host_ + (static_cast<const char*>(p) - device_); }

 private:
  const size_t bytes_;
  char *device_ = nullptr, *host_ = nullptr;
  int file_ = -1;
  std::mutex mutex_;
  std::map<size_t, size_t> used_;  // offset -> bytes
  size_t used_bytes_ = 0, limit_ = 0;
};

}  // namespace rutile::fake

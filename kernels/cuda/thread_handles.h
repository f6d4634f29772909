// SPDX-License-Identifier: Apache-2.0
// Handles of a library that threads may not share. One that a thread leaves behind when it ends
// serves the next: destroying it would wait for the whole device.
#pragma once

#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "rutile/core/error.h"

namespace rutile::cuda {

// One kind of handle in the process; kTag tells kinds of one type apart.
template <class Handle, int kTag = 0>
class ThreadHandles {
 public:
  // The calling thread's for a device; `make(Handle*)` gives a Status.
  template <class Make>
  static Status get(int device, Handle* out, Make&& make) {
    thread_local Mine mine;
    if (const auto found = mine.all.find(device); found != mine.all.end()) {
      *out = found->second;
      return Status();
    }
    if (!take(device, out)) RUTILE_RETURN_IF_ERROR(make(out));
    mine.all.emplace(device, *out);
    return Status();
  }

 private:
  struct Left {
    std::mutex mutex;
    std::multimap<int, Handle> all;
  };
  // Threads may end after main() did.
  static Left& left() {
    static Left* const made = new Left();
    return *made;
  }
  struct Mine {
    std::map<int, Handle> all;
    ~Mine() {
      const std::lock_guard lock(left().mutex);
      for (const auto& [device, handle] : all) left().all.emplace(device, handle);
    }
  };
  static bool take(int device, Handle* out) {
    const std::lock_guard lock(left().mutex);
    const auto found = left().all.find(device);
    if (found == left().all.end()) return false;
    *out = found->second;
    left().all.erase(found);
    return true;
  }
};

}  // namespace rutile::cuda

// SPDX-License-Identifier: Apache-2.0
#include "rutile/graph/exec/arena.h"

#include <algorithm>

#include "rutile/core/cpu_allocator.h"

namespace rutile::graph {

namespace {

// Cached memory is worth returning from here on.
constexpr int64_t kMuch = 16 << 20;

int64_t bytes_of(const Ref<Storage>& s) { return static_cast<int64_t>(s->bytes()); }

}  // namespace

Ref<Storage> ArenaPool::take(int64_t bytes, Device device) {
  {
    std::lock_guard lock(mutex_);
    const auto there = [&](const Ref<Storage>& s) { return s->device() == device; };
    const auto fits = std::find_if(free_.begin(), free_.end(), [&](const Ref<Storage>& s) {
      return there(s) && bytes_of(s) >= bytes;
    });
    if (fits != free_.end()) {
      Ref<Storage> found = std::move(*fits);
      free_.erase(fits);
      return found;
    }
    const auto largest = std::find_if(free_.rbegin(), free_.rend(), there);
    if (largest != free_.rend()) {
      bytes_ -= bytes_of(*largest);
      --count_;
      free_.erase(std::next(largest).base());
    }
  }
  // What lies idle in the cache (the arena that goes, packed weights' first versions) would come on
  // top of the new one.
  if (bytes >= kMuch && allocator(device).stats().cached_bytes >= kMuch) {
    allocator(device).empty_cache();
  }
  Ref<Storage> fresh = Storage::allocate(static_cast<size_t>(bytes), device);
  if (device == kCpu) detail::touch_pages(fresh->data(), fresh->bytes());
  std::lock_guard lock(mutex_);
  bytes_ += bytes;
  ++count_;
  return fresh;
}

void ArenaPool::give(Ref<Storage> arena) {
  if (!arena) return;
  std::lock_guard lock(mutex_);
  const auto at = std::find_if(free_.begin(), free_.end(), [&](const Ref<Storage>& s) {
    return bytes_of(s) >= bytes_of(arena);
  });
  free_.insert(at, std::move(arena));
}

int64_t ArenaPool::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

int ArenaPool::count() const {
  std::lock_guard lock(mutex_);
  return count_;
}

}  // namespace rutile::graph

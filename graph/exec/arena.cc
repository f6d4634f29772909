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

Ref<Storage> ArenaPool::take(int64_t bytes) {
  {
    std::lock_guard lock(mutex_);
    const auto fits = std::find_if(free_.begin(), free_.end(),
                                   [&](const Ref<Storage>& s) { return bytes_of(s) >= bytes; });
    if (fits != free_.end()) {
      Ref<Storage> found = std::move(*fits);
      free_.erase(fits);
      return found;
    }
    if (!free_.empty()) {
      bytes_ -= bytes_of(free_.back());
      --count_;
      free_.pop_back();
    }
  }
  // What lies idle in the cache (the arena that goes, packed weights' first versions) would come on
  // top of the new one.
  if (bytes >= kMuch && allocator(kCpu).stats().cached_bytes >= kMuch) {
    allocator(kCpu).empty_cache();
  }
  Ref<Storage> fresh = Storage::allocate(static_cast<size_t>(bytes), kCpu);
  detail::touch_pages(fresh->data(), fresh->bytes());
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

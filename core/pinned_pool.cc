// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "rutile/core/device_runtime.h"

namespace rutile {
namespace {
constexpr size_t kSmallest = 64 << 10;
}  // namespace

void PinnedPool::collect_locked() {
  for (size_t i = 0; i < busy_.size();) {
    bool done = false;
    const Status s = fns_.event_done(index_, busy_[i].after, &done);
    if (s.ok() && !done) {
      ++i;
      continue;
    }
    free_.push_back(busy_[i].piece);
    events_.push_back(busy_[i].after);
    busy_[i] = busy_.back();
    busy_.pop_back();
  }
}

Status PinnedPool::take(size_t bytes, Piece* out) {
  size_t size = kSmallest;
  while (size < bytes) size *= 2;
  {
    std::lock_guard lock(mutex_);
    collect_locked();
    for (size_t i = 0; i < free_.size(); ++i) {
      if (free_[i].bytes != size) continue;
      *out = free_[i];
      free_[i] = free_.back();
      free_.pop_back();
      return Status();
    }
  }
  void* p = nullptr;
  RUTILE_RETURN_IF_ERROR(fns_.host_allocate(size, &p));
  *out = {static_cast<char*>(p), size};
  return Status();
}

void PinnedPool::give(Piece piece, Event after) {
  std::lock_guard lock(mutex_);
  if (after) {
    busy_.push_back({piece, after});
  } else {
    free_.push_back(piece);
  }
}

Status PinnedPool::take_event(Event* out) {
  {
    std::lock_guard lock(mutex_);
    if (!events_.empty()) {
      *out = events_.back();
      events_.pop_back();
      return Status();
    }
  }
  return fns_.event_create(index_, out);
}

void PinnedPool::give_event(Event e) {
  std::lock_guard lock(mutex_);
  events_.push_back(e);
}

}  // namespace rutile

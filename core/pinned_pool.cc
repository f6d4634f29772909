// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "rutile/core/device_runtime.h"

namespace rutile {
namespace {
constexpr size_t kSmallest = 64 << 10;
constexpr size_t kMostBusy = 64 << 20;  // that copies not yet done may hold
}  // namespace

void PinnedPool::collect_locked() {
  std::erase_if(busy_, [this](const Busy& b) {
    bool done = false;
    const Status s = fns_.event_done(index_, b.after, &done);
    if (s.ok() && !done) return false;
    free_.push_back(b.piece);
    events_.push_back(b.after);
    busy_bytes_ -= b.piece.bytes;
    return true;
  });
}

// A host that runs ahead of its copies waits for the oldest of them instead of pinning ever more.
Status PinnedPool::wait_for_room() {
  Busy oldest;
  {
    std::lock_guard lock(mutex_);
    collect_locked();
    if (busy_bytes_ <= kMostBusy) return Status();
    oldest = busy_.front();
    busy_.erase(busy_.begin());
    busy_bytes_ -= oldest.piece.bytes;
  }
  Status s = fns_.event_sync(index_, oldest.after);
  std::lock_guard lock(mutex_);
  free_.push_back(oldest.piece);
  events_.push_back(oldest.after);
  return s;
}

Status PinnedPool::take(size_t bytes, Piece* out) {
  size_t size = kSmallest;
  while (size < bytes) size *= 2;
  RUTILE_RETURN_IF_ERROR(wait_for_room());
  {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < free_.size(); ++i) {
      if (free_[i].bytes != size) continue;
      *out = free_[i];
      free_[i] = free_.back();
      free_.pop_back();
      return Status();
    }
  }
  void* p = nullptr;
  RUTILE_RETURN_IF_ERROR(fns_.host_allocate(index_, size, &p));
  *out = {static_cast<char*>(p), size};
  return Status();
}

void PinnedPool::give(Piece piece, Event after) {
  std::lock_guard lock(mutex_);
  if (after) {
    busy_.push_back({piece, after});
    busy_bytes_ += piece.bytes;
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

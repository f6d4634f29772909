// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/device_allocator.h"

#include <algorithm>

#include "rutile/core/cpu_allocator.h"
#include "rutile/core/error.h"
#include "rutile/core/log.h"

namespace rutile {
namespace {

constexpr size_t kGrain = 512;
constexpr size_t kSmall = 1 << 20;  // below: cut from shared segments
constexpr size_t kSmallSegment = 2 << 20;
constexpr size_t kMedium = 10 << 20;  // below: several share a segment
constexpr size_t kMediumSegment = 20 << 20;
constexpr size_t kLargeGrain = 2 << 20;
constexpr size_t kMaxRequest = size_t{1} << 47;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

size_t segment_bytes(size_t bytes) {
  if (bytes < kSmall) return kSmallSegment;
  return bytes < kMedium ? kMediumSegment : round_up(bytes, kLargeGrain);
}

}  // namespace

struct DeviceAllocator::Block {
  char* p = nullptr;
  size_t bytes = 0;
  Stream stream = nullptr;
  bool small = false, used = false;
  Block *left = nullptr, *right = nullptr;  // in its segment
  std::vector<Stream> others;               // that use it besides `stream`
  std::vector<Event> waits;                 // for, until it is free
};

bool DeviceAllocator::BySize::operator()(const Block* a, const Block* b) const {
  return a->bytes != b->bytes ? a->bytes < b->bytes : a->p < b->p;
}

DeviceAllocator::DeviceAllocator(const DeviceFns& fns, int index, Stream compute)
    : fns_(fns), index_(index), compute_(compute) {}

DeviceAllocator::~DeviceAllocator() {
  std::lock_guard lock(mutex_);
  release_cached();
  for (Event e : events_) (void)fns_.event_destroy(index_, e);
}

// The smallest block that is large enough; split() keeps its rest.
DeviceAllocator::Block* DeviceAllocator::find(size_t bytes, Stream stream, bool small) {
  auto& free = pool_of(stream, small).free;
  Block key;
  key.bytes = bytes;
  const auto it = free.lower_bound(&key);
  if (it == free.end()) return nullptr;
  Block* b = *it;
  free.erase(it);
  return b;
}

Status DeviceAllocator::system_allocate(size_t bytes, void** out) {
  if (limit_ > 0 && reserved_ + static_cast<int64_t>(bytes) > limit_) {
    return Status(ErrorCode::kOutOfMemory, "the limit is reached");
  }
  return fns_.allocate(index_, bytes, out);
}

DeviceAllocator::Block* DeviceAllocator::add_segment(size_t bytes, Stream stream, bool small) {
  size_t size = segment_bytes(bytes);
  void* p = nullptr;
  Status s = system_allocate(size, &p);
  if (!s.ok()) {
    // What others still use, then what lies idle; at last a segment for this request alone.
    collect(/*wait=*/true);
    if (Block* b = find(bytes, stream, small)) return b;
    release_cached();
    s = system_allocate(size, &p);
    if (!s.ok() && size > round_up(bytes, kGrain)) {
      size = round_up(bytes, kGrain);
      s = system_allocate(size, &p);
    }
    if (!s.ok()) fail(bytes, s);
  }
  ++system_allocations_;
  reserved_ += static_cast<int64_t>(size);
  Block* b = new Block;
  b->p = static_cast<char*>(p);
  b->bytes = size;
  b->stream = stream;
  b->small = small;
  if (log_enabled(LogTopic::kMemory)) {
    log_line(LogTopic::kMemory, cat(device_type_name(fns_.type), ":", index_, ": segment of ",
                                    detail::format_bytes(static_cast<int64_t>(size)), ", now ",
                                    detail::format_bytes(reserved_)));
  }
  return b;
}

void DeviceAllocator::split(Block* b, size_t bytes) {
  const size_t rest = b->bytes - bytes;
  if (rest < (b->small ? kGrain : kSmall)) return;
  Block* tail = new Block;
  tail->p = b->p + bytes;
  tail->bytes = rest;
  tail->stream = b->stream;
  tail->small = b->small;
  tail->left = b;
  tail->right = b->right;
  if (b->right) b->right->left = tail;
  b->right = tail;
  b->bytes = bytes;
  pool_of(b->stream, b->small).free.insert(tail);
}

void* DeviceAllocator::allocate_on(size_t bytes, Stream stream) {
  std::lock_guard lock(mutex_);
  ++allocations_;
  if (bytes > kMaxRequest) fail(bytes, Status());
  const size_t size = round_up(std::max<size_t>(bytes, 1), kGrain);
  const bool small = size < kSmall;
  if (!pending_.empty()) collect(/*wait=*/false);
  Block* b = find(size, stream, small);
  if (b == nullptr) b = add_segment(size, stream, small);
  split(b, size);
  b->used = true;
  live_[b->p] = b;
  live_bytes_ += static_cast<int64_t>(b->bytes);
  peak_ = std::max(peak_, live_bytes_);
  return b->p;
}

void DeviceAllocator::record_use(const void* p, Stream stream) {
  std::lock_guard lock(mutex_);
  auto it = live_.upper_bound(static_cast<const char*>(p));
  if (it == live_.begin()) return;
  Block* b = (--it)->second;
  if (static_cast<const char*>(p) >= b->p + b->bytes || stream == b->stream) return;
  if (std::find(b->others.begin(), b->others.end(), stream) == b->others.end()) {
    b->others.push_back(stream);
  }
}

void DeviceAllocator::deallocate(void* p, size_t) noexcept {
  if (p == nullptr) return;
  std::lock_guard lock(mutex_);
  const auto it = live_.find(static_cast<const char*>(p));
  if (it == live_.end()) return;
  Block* b = it->second;
  live_.erase(it);
  live_bytes_ -= static_cast<int64_t>(b->bytes);
  b->used = false;
  for (Stream s : b->others) {
    Event e = nullptr;
    Status made;
    if (events_.empty()) {
      made = fns_.event_create(index_, &e);
    } else {
      e = events_.back();
      events_.pop_back();
    }
    if (made.ok()) made = fns_.event_record(index_, e, s);
    if (made.ok()) {
      b->waits.push_back(e);
    } else {  // a broken device: wait as well as it can
      keep(fns_.stream_sync(index_, s));
    }
  }
  b->others.clear();
  if (b->waits.empty()) {
    put_back(b);
  } else {
    pending_.push_back(b);
  }
}

DeviceAllocator::Block* DeviceAllocator::merge(Block* left, Block* right) {
  left->bytes += right->bytes;
  left->right = right->right;
  if (right->right) right->right->left = left;
  delete right;
  return left;
}

void DeviceAllocator::put_back(Block* b) {
  auto& free = pool_of(b->stream, b->small).free;
  auto idle = [&free](Block* other) { return other && free.erase(other) > 0; };
  if (idle(b->right)) b = merge(b, b->right);
  if (idle(b->left)) b = merge(b->left, b);
  free.insert(b);
}

// Takes back the pending blocks whose streams are done with them.
void DeviceAllocator::collect(bool wait) {
  std::vector<Block*> left;
  for (Block* b : pending_) {
    while (!b->waits.empty()) {
      Event e = b->waits.back();
      bool done = false;
      Status s;
      if (wait) s = fns_.event_sync(index_, e);
      if (!wait) s = fns_.event_done(index_, e, &done);
      if (!wait && s.ok() && !done) break;
      keep(std::move(s));
      events_.push_back(e);
      b->waits.pop_back();
    }
    if (b->waits.empty()) {
      put_back(b);
    } else {
      left.push_back(b);
    }
  }
  pending_.swap(left);
}

// Segments without a live block go back. Work that was queued before may still use them.
void DeviceAllocator::release_cached() {
  std::set<Stream> waited;
  for (auto& [key, pool] : pools_) {
    for (auto it = pool.free.begin(); it != pool.free.end();) {
      Block* b = *it;
      if (b->left || b->right) {
        ++it;
        continue;
      }
      if (waited.insert(b->stream).second) keep(fns_.stream_sync(index_, b->stream));
      reserved_ -= static_cast<int64_t>(b->bytes);
      (void)fns_.release(index_, b->p);
      it = pool.free.erase(it);
      delete b;
    }
  }
}

Status DeviceAllocator::take_error() {
  std::lock_guard lock(mutex_);
  return std::exchange(error_, Status());
}

void DeviceAllocator::empty_cache() {
  std::lock_guard lock(mutex_);
  collect(/*wait=*/true);
  release_cached();
}

void DeviceAllocator::set_limit(int64_t bytes) {
  if (bytes < 0) throw_error(ErrorCode::kValue, cat("a memory limit of ", bytes, " bytes"));
  std::lock_guard lock(mutex_);
  limit_ = bytes;
  if (bytes > 0 && reserved_ > bytes) {
    collect(/*wait=*/true);
    release_cached();
  }
}

void DeviceAllocator::reset_peak() {
  std::lock_guard lock(mutex_);
  peak_ = live_bytes_;
}

MemoryStats DeviceAllocator::stats_locked() const {
  MemoryStats s;
  s.live_bytes = live_bytes_;
  s.peak_live_bytes = peak_;
  s.cached_bytes = reserved_ - live_bytes_;
  s.allocations = allocations_;
  s.system_allocations = system_allocations_;
  for (const auto& [key, pool] : pools_) {
    if (pool.free.empty()) continue;
    s.largest_cached =
        std::max(s.largest_cached, static_cast<int64_t>((*pool.free.rbegin())->bytes));
  }
  return s;
}

MemoryStats DeviceAllocator::stats() const {
  std::lock_guard lock(mutex_);
  return stats_locked();
}

int64_t DeviceAllocator::pending_bytes() const {
  std::lock_guard lock(mutex_);
  int64_t bytes = 0;
  for (const Block* b : pending_) bytes += static_cast<int64_t>(b->bytes);
  return bytes;
}

void DeviceAllocator::fail(size_t requested, const Status& refused) {
  using detail::format_bytes;
  const MemoryStats s = stats_locked();
  const bool absurd = requested > kMaxRequest;
  std::string text =
      cat("out of memory on ", device_type_name(fns_.type), ":", index_, ": requested ");
  text += absurd ? cat(requested, " bytes, more than any device has")
                 : cat(format_bytes(static_cast<int64_t>(requested)), " (", requested, " bytes)");
  text += cat(" | live ", format_bytes(s.live_bytes), " in ", live_.size(), " blocks, peak ",
              format_bytes(s.peak_live_bytes), ", cached ", format_bytes(s.cached_bytes),
              ", largest free block ", format_bytes(s.largest_cached));
  if (limit_ > 0) text += cat(", limit ", format_bytes(limit_));
  int64_t free = 0, total = 0;
  if (fns_.memory_info(index_, &free, &total).ok()) {
    text += cat(" | device free ", format_bytes(free), " of ", format_bytes(total));
  }
  if (!refused.message().empty()) text += cat(" | ", refused.message());
  const bool limited = limit_ > 0 && reserved_ + static_cast<int64_t>(requested) > limit_;
  text += absurd    ? " | hint: look for a wrong dimension in the shape"
          : limited ? " | hint: raise the limit (set_limit), release tensors or use a smaller batch"
                    : " | hint: release tensors, use a smaller batch, recompute or accumulate "
                      "gradients";
  throw_error(ErrorCode::kOutOfMemory, std::move(text));
}

}  // namespace rutile

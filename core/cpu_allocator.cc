// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/cpu_allocator.h"

#include <sched.h>
#include <sys/mman.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

#include "rutile/core/error.h"
#include "rutile/core/log.h"
#include "rutile/core/sanitizer.h"
#include "rutile/core/system_info.h"
#include "rutile/core/thread.h"

namespace rutile {
namespace {

constexpr size_t kMaxRequest = size_t{1} << 47;
constexpr size_t kHugePage = 2 << 20;
constexpr int kNumClasses = 312;      // up to 2^47
constexpr int kNumSmallClasses = 56;  // up to 32 KiB: kept per thread
constexpr int64_t kMinCacheCap = 64 << 20;
constexpr int64_t kThreadCacheBytes = 2 << 20;
// From here on the system is asked first whether it has the memory: it would rather promise it and
// kill the process later.
constexpr size_t kCheckedBytes = 64 << 20;

int size_class(size_t bytes) {
  if (bytes <= 512) return static_cast<int>((bytes + 63) / 64) - 1;
  const int e = std::bit_width(bytes - 1) - 1;
  return 8 + (e - 9) * 8 + static_cast<int>((bytes - 1) >> (e - 3) & 7);
}

constexpr size_t class_bytes(int cls) {
  if (cls < 8) return static_cast<size_t>(cls + 1) * 64;
  return static_cast<size_t>(9 + cls % 8) << (cls / 8 + 5);
}

struct ThreadShares {
  int blocks[kNumSmallClasses];
};
// Blocks of a class that a thread keeps: 4 to 64, of 128 KiB where that lies between.
constexpr ThreadShares kThreadShares = [] {
  ThreadShares s{};
  for (int cls = 0; cls < kNumSmallClasses; ++cls) {
    s.blocks[cls] = std::clamp<int>(static_cast<int>((128 << 10) / class_bytes(cls)), 4, 64);
  }
  return s;
}();

void* map_pages(size_t bytes) {
  // One huge page more, to cut an aligned piece out of it.
  const size_t padded = bytes + kHugePage;
  void* p = ::mmap(nullptr, padded, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  const uintptr_t start = reinterpret_cast<uintptr_t>(p);
  const uintptr_t aligned = (start + kHugePage - 1) & ~(kHugePage - 1);
  const uintptr_t end = aligned + bytes;
  if (aligned > start) ::munmap(p, aligned - start);
  if (start + padded > end) ::munmap(reinterpret_cast<void*>(end), start + padded - end);
  ::madvise(reinterpret_cast<void*>(aligned), bytes, MADV_HUGEPAGE);
  return reinterpret_cast<void*>(aligned);
}

void* from_system(size_t bytes) {
  if (bytes >= kCheckedBytes) {
    const SystemMemory m = system_memory();
    if (m.total > 0 && m.available < static_cast<int64_t>(bytes)) return nullptr;
  }
  return bytes >= kHugePage ? map_pages(bytes) : std::aligned_alloc(64, bytes);
}

void to_system(void* p, size_t bytes) noexcept {
  unpoison(p, bytes);
  if (bytes >= kHugePage) {
    ::munmap(p, bytes);
  } else {
    std::free(p);
  }
}

// Held for a few instructions by its own thread, now and then by one that empties all caches.
class SpinLock {
 public:
  void lock() noexcept {
    while (locked_.exchange(true, std::memory_order_acquire)) ::sched_yield();
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> locked_{false};
};

// Lies in the block itself. In a thread's cache only `next` counts.
struct FreeBlock {
  FreeBlock* next;  // in the bin
  FreeBlock* prev;
  FreeBlock* newer;  // over all bins
  FreeBlock* older;
  int cls;
};
static_assert(sizeof(FreeBlock) <= 64);

FreeBlock* as_free_block(void* p, int cls) noexcept {
  poison(static_cast<char*>(p) + sizeof(FreeBlock), class_bytes(cls) - sizeof(FreeBlock));
  return ::new (p) FreeBlock{nullptr, nullptr, nullptr, nullptr, cls};
}

struct ThreadCache {
  SpinLock lock;
  FreeBlock* head[kNumSmallClasses] = {};
  int count[kNumSmallClasses] = {};
  int64_t bytes = 0;
  int64_t allocations = 0;
  ThreadCache* next = nullptr;  // under the allocator's mutex
  ThreadCache* prev = nullptr;

  FreeBlock* pop(int cls) noexcept {
    FreeBlock* b = head[cls];
    if (b == nullptr) return nullptr;
    head[cls] = b->next;
    --count[cls];
    bytes -= static_cast<int64_t>(class_bytes(cls));
    return b;
  }
  void push(FreeBlock* b) noexcept {
    b->next = head[b->cls];
    head[b->cls] = b;
    ++count[b->cls];
    bytes += static_cast<int64_t>(class_bytes(b->cls));
  }
  // The blocks that exceed this thread's share after a push to `cls`.
  FreeBlock* take_excess(int cls) noexcept {
    const int share = kThreadShares.blocks[cls];
    int n = count[cls] > share ? share / 2 : 0;
    if (bytes > kThreadCacheBytes) n = count[cls];
    FreeBlock* chain = nullptr;
    for (; n > 0; --n) {
      FreeBlock* b = pop(cls);
      b->next = chain;
      chain = b;
    }
    return chain;
  }
};

// Constant-initialised, so that access needs no guard.
struct ThreadSlot {
  ThreadCache* cache = nullptr;
  bool ended = false;
};
constinit thread_local ThreadSlot t_slot;

class CpuAllocator final : public Allocator {
 public:
  void* allocate(size_t bytes) override;
  void deallocate(void* p, size_t bytes) noexcept override;
  MemoryStats stats() const override;
  void reset_peak() override { peak_.store(live_.load()); }
  void empty_cache() override;
  void set_limit(int64_t bytes) override;
  void retire(ThreadCache* cache) noexcept;

 private:
  ThreadCache* thread_cache() noexcept;
  void* allocate_shared(int cls, size_t requested);
  void* allocate_fresh(int cls, size_t requested);
  void count_live(int64_t size) noexcept;
  int64_t cached() const noexcept { return reserved_.load() - live_.load(); }
  int64_t cache_cap() const noexcept { return std::max(highest_.load(), kMinCacheCap); }
  [[noreturn]] void fail(size_t requested, const MemoryStats& before, bool limit_refused) const;

  // Under mutex_:
  void link(FreeBlock* b) noexcept;
  void unlink(FreeBlock* b) noexcept;
  void link_all_of(ThreadCache* cache) noexcept;
  // Unlinks the oldest blocks until no more than `target` bytes are reserved.
  FreeBlock* take_victims(int64_t target) noexcept;
  static void release(FreeBlock* chain) noexcept;  // without the mutex: unmapping takes long

  std::atomic<int64_t> live_{0};
  std::atomic<int64_t> reserved_{0};  // what the system gave: live and cached
  std::atomic<int64_t> peak_{0};
  std::atomic<int64_t> highest_{0};  // as peak_, but never reset: bounds the cache
  std::atomic<int64_t> limit_{0};
  std::atomic<int64_t> system_allocations_{0};

  mutable std::mutex mutex_;  // taken before any cache's lock
  FreeBlock* bins_[kNumClasses] = {};
  FreeBlock* oldest_ = nullptr;
  FreeBlock* newest_ = nullptr;
  ThreadCache* caches_ = nullptr;
  int64_t allocations_ = 0;  // those that no living thread's cache has counted
};

CpuAllocator& instance() {
  static CpuAllocator* const a = new CpuAllocator;  // outlives every thread and static
  return *a;
}

struct AtThreadExit {
  ~AtThreadExit() {
    ThreadCache* cache = t_slot.cache;
    t_slot = {nullptr, true};
    instance().retire(cache);
  }
};

ThreadCache* CpuAllocator::thread_cache() noexcept {
  if (t_slot.cache != nullptr) [[likely]]
    return t_slot.cache;
  if (t_slot.ended) return nullptr;
  auto* cache = new (std::nothrow) ThreadCache;
  if (cache == nullptr) return nullptr;
  {
    std::lock_guard lock(mutex_);
    cache->next = caches_;
    if (caches_ != nullptr) caches_->prev = cache;
    caches_ = cache;
  }
  t_slot.cache = cache;
  thread_local AtThreadExit at_exit;
  (void)at_exit;
  return cache;
}

void CpuAllocator::retire(ThreadCache* cache) noexcept {
  std::lock_guard lock(mutex_);
  link_all_of(cache);
  allocations_ += cache->allocations;
  (cache->prev != nullptr ? cache->prev->next : caches_) = cache->next;
  if (cache->next != nullptr) cache->next->prev = cache->prev;
  delete cache;
}

void CpuAllocator::link(FreeBlock* b) noexcept {
  FreeBlock*& bin = bins_[b->cls];
  b->prev = nullptr;
  b->next = bin;
  if (bin != nullptr) bin->prev = b;
  bin = b;
  b->newer = nullptr;
  b->older = newest_;
  (newest_ != nullptr ? newest_->newer : oldest_) = b;
  newest_ = b;
}

void CpuAllocator::unlink(FreeBlock* b) noexcept {
  (b->prev != nullptr ? b->prev->next : bins_[b->cls]) = b->next;
  if (b->next != nullptr) b->next->prev = b->prev;
  (b->newer != nullptr ? b->newer->older : newest_) = b->older;
  (b->older != nullptr ? b->older->newer : oldest_) = b->newer;
}

void CpuAllocator::link_all_of(ThreadCache* cache) noexcept {
  std::lock_guard lock(cache->lock);
  for (int cls = 0; cls < kNumSmallClasses; ++cls) {
    while (FreeBlock* b = cache->pop(cls)) link(b);
  }
}

FreeBlock* CpuAllocator::take_victims(int64_t target) noexcept {
  FreeBlock* chain = nullptr;
  while (oldest_ != nullptr && reserved_.load() > target) {
    FreeBlock* b = oldest_;
    unlink(b);
    reserved_ -= static_cast<int64_t>(class_bytes(b->cls));
    b->next = chain;
    chain = b;
  }
  return chain;
}

void CpuAllocator::release(FreeBlock* chain) noexcept {
  while (chain != nullptr) {
    FreeBlock* b = chain;
    chain = b->next;
    to_system(b, class_bytes(b->cls));
  }
}

void CpuAllocator::count_live(int64_t size) noexcept {
  const int64_t now = live_.fetch_add(size) + size;
  int64_t peak = peak_.load();
  if (now <= peak) return;
  while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
  }
  int64_t highest = highest_.load();
  while (now > highest && !highest_.compare_exchange_weak(highest, now)) {
  }
}

void* CpuAllocator::allocate(size_t bytes) {
  if (bytes > kMaxRequest) [[unlikely]]
    fail(bytes, stats(), false);
  const int cls = size_class(std::max<size_t>(bytes, 1));
  void* p = nullptr;
  if (cls < kNumSmallClasses) {
    if (ThreadCache* cache = thread_cache()) {
      std::lock_guard lock(cache->lock);
      p = cache->pop(cls);
      if (p != nullptr) ++cache->allocations;
    }
  }
  if (p == nullptr) p = allocate_shared(cls, bytes);
  count_live(static_cast<int64_t>(class_bytes(cls)));
  if constexpr (kAddressSanitizer) {
    poison(p, class_bytes(cls));
    unpoison(p, bytes);
  }
  return p;
}

void* CpuAllocator::allocate_shared(int cls, size_t requested) {
  {
    std::lock_guard lock(mutex_);
    if (FreeBlock* b = bins_[cls]) {
      unlink(b);
      ++allocations_;
      return b;
    }
  }
  void* p = allocate_fresh(cls, requested);
  ++system_allocations_;
  std::lock_guard lock(mutex_);
  ++allocations_;
  return p;
}

void* CpuAllocator::allocate_fresh(int cls, size_t requested) {
  const int64_t size = static_cast<int64_t>(class_bytes(cls));
  const MemoryStats before = stats();
  FreeBlock* victims = nullptr;
  bool refused;
  {
    std::lock_guard lock(mutex_);
    const int64_t limit = limit_.load();
    // Giving up the cache would not help a request that exceeds the limit anyway.
    refused = limit > 0 && size > limit - live_.load();
    if (!refused && limit > 0 && reserved_.load() > limit - size) {
      victims = take_victims(limit - size);
      refused = reserved_.load() > limit - size;
      if (refused) {
        for (ThreadCache* c = caches_; c != nullptr; c = c->next) link_all_of(c);
        release(victims);
        victims = take_victims(limit - size);
        refused = reserved_.load() > limit - size;
      }
    }
    if (!refused) reserved_ += size;
  }
  release(victims);
  if (refused) fail(requested, before, true);
  void* p = from_system(static_cast<size_t>(size));
  if (p == nullptr) {
    empty_cache();
    p = from_system(static_cast<size_t>(size));
  }
  if (p == nullptr) {
    reserved_ -= size;
    fail(requested, before, false);
  }
  if (size >= static_cast<int64_t>(kHugePage) && log_enabled(LogTopic::kMemory)) {
    log_line(LogTopic::kMemory, cat("cpu: ", detail::format_bytes(size), " from the system, now ",
                                    detail::format_bytes(reserved_.load())));
  }
  return p;
}

void CpuAllocator::deallocate(void* p, size_t bytes) noexcept {
  if (p == nullptr) return;
  const int cls = size_class(std::max<size_t>(bytes, 1));
  unpoison(p, sizeof(FreeBlock));
  FreeBlock* chain = as_free_block(p, cls);
  live_ -= static_cast<int64_t>(class_bytes(cls));
  if (cls < kNumSmallClasses) {
    if (ThreadCache* cache = thread_cache()) {
      std::lock_guard lock(cache->lock);
      cache->push(chain);
      chain = cache->take_excess(cls);
      if (chain == nullptr) return;
    }
  }
  FreeBlock* victims;
  {
    std::lock_guard lock(mutex_);
    while (chain != nullptr) {
      FreeBlock* b = chain;
      chain = b->next;
      link(b);
    }
    victims = take_victims(live_.load() + cache_cap());
  }
  release(victims);
}

MemoryStats CpuAllocator::stats() const {
  std::lock_guard lock(mutex_);
  MemoryStats s;
  s.live_bytes = live_.load();
  s.peak_live_bytes = peak_.load();
  s.cached_bytes = std::max<int64_t>(cached(), 0);
  s.system_allocations = system_allocations_.load();
  s.allocations = allocations_;
  int largest = kNumClasses - 1;
  while (largest >= 0 && bins_[largest] == nullptr) --largest;
  for (ThreadCache* c = caches_; c != nullptr; c = c->next) {
    std::lock_guard cache_lock(c->lock);
    s.allocations += c->allocations;
    for (int cls = largest + 1; cls < kNumSmallClasses; ++cls) {
      if (c->count[cls] > 0) largest = cls;
    }
  }
  if (largest >= 0) s.largest_cached = static_cast<int64_t>(class_bytes(largest));
  return s;
}

void CpuAllocator::empty_cache() {
  FreeBlock* victims;
  {
    std::lock_guard lock(mutex_);
    for (ThreadCache* c = caches_; c != nullptr; c = c->next) link_all_of(c);
    victims = take_victims(0);
  }
  release(victims);
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

void CpuAllocator::set_limit(int64_t bytes) {
  if (bytes < 0) throw_error(ErrorCode::kValue, cat("a memory limit of ", bytes, " bytes"));
  limit_.store(bytes);
  if (bytes > 0 && reserved_.load() > bytes) empty_cache();
}

void CpuAllocator::fail(size_t requested, const MemoryStats& before, bool limit_refused) const {
  using detail::format_bytes;
  const SystemMemory system = system_memory();
  const int64_t limit = limit_.load();
  std::string text = "out of memory on cpu: requested ";
  if (requested > kMaxRequest) {
    text += cat(requested, " bytes, more than any machine has");
  } else {
    text += cat(format_bytes(static_cast<int64_t>(requested)), " (", requested, " bytes)");
  }
  text += cat(" | live ", format_bytes(before.live_bytes), ", cached ",
              format_bytes(before.cached_bytes), ", largest free block ",
              format_bytes(before.largest_cached));
  if (limit > 0) text += cat(", limit ", format_bytes(limit));
  text +=
      cat(" | system free ", format_bytes(system.available), " of ", format_bytes(system.total));
  if (system.cgroup_limit > 0) {
    text += cat(", control group limit ", format_bytes(system.cgroup_limit));
  }
  if (requested > kMaxRequest) {
    text += " | hint: look for a wrong dimension in the shape";
  } else if (limit_refused) {
    text += " | hint: raise the limit (set_limit), release tensors or use a smaller batch";
  } else {
    text += " | hint: release tensors, use a smaller batch, recompute or accumulate gradients";
  }
  throw_error(ErrorCode::kOutOfMemory, std::move(text));
}

}  // namespace

Allocator& cpu_allocator() { return instance(); }

namespace detail {

size_t cpu_block_bytes(size_t requested) {
  return class_bytes(size_class(std::max<size_t>(requested, 1)));
}

void touch_pages([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) noexcept {
#if defined(MADV_POPULATE_WRITE)
  if (bytes < kHugePage) return;
  constexpr size_t kPiece = 4 * kHugePage;
  const auto pieces = static_cast<int64_t>((bytes + kPiece - 1) / kPiece);
  parallel_for(0, pieces, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const size_t at = static_cast<size_t>(i) * kPiece;
      // A system that does not know it leaves the pages to whoever touches them first.
      (void)::madvise(static_cast<char*>(p) + at, std::min(kPiece, bytes - at),
                      MADV_POPULATE_WRITE);
    }
  });
#endif
}

std::string format_bytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double v = static_cast<double>(bytes);
  int unit = 0;
  for (; v >= 1024 && unit < 6; ++unit) v /= 1024;
  char buf[48];
  std::snprintf(buf, sizeof(buf), unit == 0 ? "%.0f %s" : "%.2f %s", v, kUnits[unit]);
  return buf;
}

}  // namespace detail
}  // namespace rutile

// SPDX-License-Identifier: Apache-2.0
// The caching allocator of a device with streams, one for all plugins. Blocks are cut from segments
// of the device and kept. A block belongs to the stream it was taken for: freed, it serves that
// stream's next request at once, since the stream runs in order. What other streams use it is told
// by record_use(); such a block waits for them by events before it is served again.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rutile/core/allocator.h"
#include "rutile/core/device_plugin.h"

namespace rutile {

class RUTILE_API DeviceAllocator final : public Allocator {
 public:
  // `compute` serves allocate() without a stream.
  DeviceAllocator(const DeviceFns& fns, int index, Stream compute);
  ~DeviceAllocator() override;

  void* allocate(size_t bytes) override { return allocate_on(bytes, compute_); }
  void deallocate(void* p, size_t bytes) noexcept override;
  MemoryStats stats() const override;
  void reset_peak() override;
  // Waits for the device.
  void empty_cache() override;
  void set_limit(int64_t bytes) override;

  // Memory that `stream` uses first.
  void* allocate_on(size_t bytes, Stream stream);
  // Work queued on `stream` until the block is freed uses it, too. Any pointer into the block.
  void record_use(const void* p, Stream stream);
  // Freed blocks that wait for another stream.
  int64_t pending_bytes() const;
  // The first error of work that the allocator itself waited for; it is told once.
  Status take_error();

 private:
  struct Block;
  struct BySize {
    bool operator()(const Block* a, const Block* b) const;
  };
  struct Pool {
    std::set<Block*, BySize> free;
  };

  Block* find(size_t bytes, Stream stream, bool small);
  Block* add_segment(size_t bytes, Stream stream, bool small);
  Status system_allocate(size_t bytes, void** out);
  void split(Block* b, size_t bytes);
  void put_back(Block* b);
  Block* merge(Block* left, Block* right);
  void collect(bool wait);
  void release_cached();
  void keep(Status s) {
    if (error_.ok()) error_ = std::move(s);
  }
  [[noreturn]] void fail(size_t requested, const Status& refused);
  MemoryStats stats_locked() const;
  Pool& pool_of(Stream stream, bool small) { return pools_[{stream, small}]; }

  const DeviceFns& fns_;
  const int index_;
  const Stream compute_;
  mutable std::mutex mutex_;  // of all below
  std::map<std::pair<Stream, bool>, Pool> pools_;
  std::map<const char*, Block*> live_;  // by address
  std::vector<Block*> pending_;
  std::vector<Event> events_;  // to be used again
  Status error_;               // of queued work: waiting for it took it from the device
  int64_t live_bytes_ = 0, peak_ = 0, reserved_ = 0, limit_ = 0;
  int64_t allocations_ = 0, system_allocations_ = 0;
};

}  // namespace rutile

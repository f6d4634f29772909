// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/allocator.h"

#include <gmock/gmock.h>

#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "rutile/core/cpu_allocator.h"
#include "rutile/core/error.h"
#include "rutile/core/rng.h"

namespace rutile {
namespace {

using detail::cpu_block_bytes;
using testing::HasSubstr;
using testing::Not;

constexpr size_t kMiB = 1 << 20;

// Each test starts with nothing cached and leaves no limit behind.
class CpuAllocatorTest : public testing::Test {
 protected:
  void SetUp() override {
    a_.empty_cache();
    a_.reset_peak();
    start_ = a_.stats();
  }
  void TearDown() override {
    a_.set_limit(0);
    EXPECT_EQ(live(), 0) << "the test leaks";
  }
  int64_t live() const { return a_.stats().live_bytes - start_.live_bytes; }
  int64_t served() const { return a_.stats().allocations - start_.allocations; }
  int64_t asked_system() const { return a_.stats().system_allocations - start_.system_allocations; }
  std::string failure(size_t bytes) {
    try {
      a_.deallocate(a_.allocate(bytes), bytes);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory);
      return e.message();
    }
    return "";
  }

  Allocator& a_ = allocator(kCpu);
  MemoryStats start_;
};

TEST(CpuBlocks, SizeClasses) {
  EXPECT_EQ(cpu_block_bytes(1), 64u);
  EXPECT_EQ(cpu_block_bytes(64), 64u);
  EXPECT_EQ(cpu_block_bytes(65), 128u);
  EXPECT_EQ(cpu_block_bytes(512), 512u);
  EXPECT_EQ(cpu_block_bytes(513), 576u);
  EXPECT_EQ(cpu_block_bytes(1024), 1024u);
  EXPECT_EQ(cpu_block_bytes(1025), 1152u);
  EXPECT_EQ(cpu_block_bytes(3 * kMiB + 1), 3 * kMiB + kMiB / 4);
  EXPECT_EQ(cpu_block_bytes(size_t{1} << 47), size_t{1} << 47);
  size_t last = 64;
  for (size_t n = 1; n <= 100000; ++n) {
    const size_t block = cpu_block_bytes(n);
    ASSERT_GE(block, n);
    ASSERT_GE(block, last);
    ASSERT_EQ(block % 64, 0u);
    ASSERT_EQ(cpu_block_bytes(block), block) << "a block is of its own class";
    ASSERT_LE(block - n, std::max<size_t>(63, n / 8));
    last = block;
  }
}

TEST_F(CpuAllocatorTest, AlignsAndReuses) {
  for (const size_t bytes :
       {size_t{1}, size_t{100}, size_t{4096}, 40 * kMiB / 1024, kMiB, 3 * kMiB, 33 * kMiB}) {
    a_.empty_cache();
    const int64_t before = asked_system();
    void* p = a_.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u);
    if (bytes >= 2 * kMiB) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % (2 * kMiB), 0u) << "starts on a huge page";
    }
    std::memset(p, 0xab, bytes);
    EXPECT_EQ(live(), static_cast<int64_t>(cpu_block_bytes(bytes)));
    a_.deallocate(p, bytes);
    EXPECT_EQ(live(), 0);
    EXPECT_EQ(a_.stats().largest_cached, static_cast<int64_t>(cpu_block_bytes(bytes)));
    for (int i = 0; i < 10; ++i) {
      void* q = a_.allocate(bytes);
      EXPECT_EQ(q, p);
      a_.deallocate(q, bytes);
    }
    EXPECT_EQ(asked_system() - before, 1) << bytes;
  }
  EXPECT_EQ(served(), 7 * 11);
}

TEST_F(CpuAllocatorTest, StatisticsAreExact) {
  const size_t sizes[] = {64, 1000, 30000, 200000, 5 * kMiB};
  std::vector<void*> blocks;
  int64_t expected = 0;
  for (const size_t s : sizes) {
    blocks.push_back(a_.allocate(s));
    expected += static_cast<int64_t>(cpu_block_bytes(s));
    EXPECT_EQ(live(), expected);
  }
  const int64_t peak = expected;
  for (size_t i = 0; i < blocks.size(); ++i) {
    a_.deallocate(blocks[i], sizes[i]);
    expected -= static_cast<int64_t>(cpu_block_bytes(sizes[i]));
    EXPECT_EQ(live(), expected);
    EXPECT_EQ(a_.stats().cached_bytes, peak - expected);
  }
  EXPECT_EQ(a_.stats().peak_live_bytes - start_.live_bytes, peak);
  EXPECT_EQ(served(), 5);
  EXPECT_EQ(asked_system(), 5);
  a_.reset_peak();
  EXPECT_EQ(a_.stats().peak_live_bytes, a_.stats().live_bytes);
  a_.empty_cache();
  EXPECT_EQ(a_.stats().cached_bytes, 0);
  EXPECT_EQ(a_.stats().largest_cached, 0);
}

TEST_F(CpuAllocatorTest, SameRequestsSameStatistics) {
  const auto run = [this] {
    a_.empty_cache();
    const int64_t before = asked_system();
    std::vector<std::pair<void*, size_t>> held;
    for (uint64_t i = 0; i < 2000; ++i) {
      const auto w = philox({5}, i);
      if (w[0] % 2 == 0 || held.empty()) {
        const size_t bytes = 1 + (size_t{1} << w[1] % 22) + w[2] % 1000;
        held.emplace_back(a_.allocate(bytes), bytes);
      } else {
        std::swap(held[w[1] % held.size()], held.back());
        a_.deallocate(held.back().first, held.back().second);
        held.pop_back();
      }
    }
    for (const auto& [p, bytes] : held) a_.deallocate(p, bytes);
    return asked_system() - before;
  };
  const int64_t first = run();
  EXPECT_GT(first, 20);
  EXPECT_LT(first, 900);
  EXPECT_EQ(run(), first);
}

TEST_F(CpuAllocatorTest, CacheStaysBelowThePeak) {
  // Not touched, so no memory is used; larger than what other tests have alive.
  constexpr size_t kBlocks = 64;
  const auto churn = [this](size_t bytes) {
    std::vector<void*> blocks;
    for (size_t i = 0; i < kBlocks; ++i) blocks.push_back(a_.allocate(bytes));
    for (void* p : blocks) a_.deallocate(p, bytes);
  };
  churn(16 * kMiB);
  const int64_t cap = a_.stats().peak_live_bytes;
  EXPECT_EQ(a_.stats().cached_bytes, static_cast<int64_t>(kBlocks * 16 * kMiB));
  churn(14 * kMiB);  // another class: the old blocks are of no use and must go
  EXPECT_LE(a_.stats().cached_bytes, cap);
  EXPECT_GE(a_.stats().cached_bytes, static_cast<int64_t>(kBlocks * 14 * kMiB));
  const int64_t before = asked_system();
  churn(14 * kMiB);
  EXPECT_EQ(asked_system(), before) << "the younger blocks are the ones kept";
  a_.reset_peak();
  churn(14 * kMiB);
  EXPECT_EQ(asked_system(), before) << "a new peak measurement does not shrink the cache";
}

TEST_F(CpuAllocatorTest, LimitIsKeptAndRecovers) {
  const int64_t limit = start_.live_bytes + static_cast<int64_t>(20 * kMiB);
  a_.set_limit(limit);
  void* p = a_.allocate(12 * kMiB);
  const std::string text = failure(10 * kMiB);
  EXPECT_THAT(text,
              HasSubstr("out of memory on cpu: requested 10.00 MiB (10485760 bytes) | live "));
  EXPECT_THAT(text,
              testing::ContainsRegex("live [0-9.]+ MiB, cached 0 bytes, largest free block 0 "
                                     "bytes, limit [0-9.]+ MiB \\| system free [0-9.]+ .iB of "
                                     "[0-9.]+ .iB"));
  EXPECT_THAT(text, HasSubstr("hint: raise the limit (set_limit)"));
  EXPECT_EQ(live(), static_cast<int64_t>(12 * kMiB)) << "a failure changes nothing";
  a_.deallocate(p, 12 * kMiB);
  // 12 MiB are cached: the limit holds for the sum, so they make room.
  EXPECT_EQ(failure(10 * kMiB), "");
  EXPECT_LE(a_.stats().live_bytes + a_.stats().cached_bytes, limit);
  EXPECT_THAT(failure(21 * kMiB), HasSubstr("cached 10.00 MiB, largest free block 10.00 MiB"));
  EXPECT_EQ(a_.stats().cached_bytes, static_cast<int64_t>(10 * kMiB))
      << "a hopeless request leaves the cache alone";
  a_.set_limit(0);
  EXPECT_EQ(failure(21 * kMiB), "");
}

TEST_F(CpuAllocatorTest, LimitTakesBackThreadCaches) {
  std::vector<void*> blocks;
  for (int i = 0; i < 4; ++i) blocks.push_back(a_.allocate(30000));
  for (void* p : blocks) a_.deallocate(p, 30000);
  ASSERT_GT(a_.stats().cached_bytes, 100000);
  a_.set_limit(a_.stats().live_bytes + a_.stats().cached_bytes);
  const size_t all = static_cast<size_t>(a_.stats().cached_bytes);
  EXPECT_EQ(failure(all), "");
  EXPECT_THROW(a_.set_limit(-1), Error);
}

TEST_F(CpuAllocatorTest, ImpossibleRequestsAreErrors) {
  for (const size_t bytes : {(size_t{1} << 47) + 1, size_t{1} << 62, SIZE_MAX}) {
    EXPECT_THAT(failure(bytes), HasSubstr("look for a wrong dimension in the shape")) << bytes;
  }
  // Possible in principle, but not here.
  const std::string text = failure(size_t{1} << 46);
  EXPECT_THAT(text, HasSubstr("requested 64.00 TiB"));
  EXPECT_THAT(text, HasSubstr("hint: release tensors"));
  EXPECT_THAT(text, Not(HasSubstr("limit")));
  EXPECT_EQ(failure(1000), "");
}

TEST_F(CpuAllocatorTest, RefusedBySystemFreesTheCacheFirst) {
  void* p = a_.allocate(8 * kMiB);
  a_.deallocate(p, 8 * kMiB);
  EXPECT_THAT(failure(size_t{1} << 46), HasSubstr("cached 8.00 MiB, largest free block 8.00 MiB"));
  EXPECT_EQ(a_.stats().cached_bytes, 0);
}

TEST_F(CpuAllocatorTest, ThreadsShareBlocks) {
  constexpr int kThreads = 4, kRounds = 4000;
  struct Item {
    unsigned char* p;
    size_t bytes;
    unsigned char fill;
  };
  std::mutex mutex;
  std::vector<Item> exchange;
  std::vector<std::thread> threads;
  std::atomic<int> damaged{0};
  const auto finish = [&](const Item& item) {
    if (item.p[0] != item.fill || item.p[item.bytes - 1] != item.fill) ++damaged;
    a_.deallocate(item.p, item.bytes);
  };
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRounds; ++i) {
        const auto w = philox({static_cast<uint64_t>(t)}, static_cast<uint64_t>(i));
        const size_t bytes = 1 + w[0] % (i % 50 == 0 ? 3 * kMiB : 20000);
        Item item{static_cast<unsigned char*>(a_.allocate(bytes)), bytes,
                  static_cast<unsigned char>(w[1])};
        item.p[0] = item.p[bytes - 1] = item.fill;
        std::lock_guard lock(mutex);
        exchange.push_back(item);
        std::swap(exchange[w[2] % exchange.size()], exchange.back());
        if (exchange.size() < 64) continue;
        item = exchange.back();
        exchange.pop_back();
        finish(item);
      }
    });
  }
  for (int i = 0; i < 50; ++i) {
    a_.empty_cache();
    (void)a_.stats();
    std::this_thread::yield();
  }
  for (std::thread& t : threads) t.join();
  for (const Item& item : exchange) finish(item);
  EXPECT_EQ(damaged.load(), 0);
  EXPECT_EQ(live(), 0);
  EXPECT_EQ(served(), kThreads * kRounds);
  a_.empty_cache();
  EXPECT_EQ(a_.stats().cached_bytes, 0) << "what ended threads had cached is not lost";
}

TEST_F(CpuAllocatorTest, EmptyCacheReachesOtherThreads) {
  std::mutex mutex;
  mutex.lock();
  std::atomic<bool> cached{false};
  std::thread other([&] {
    a_.deallocate(a_.allocate(1000), 1000);
    cached = true;
    mutex.lock();  // stays alive
    mutex.unlock();
  });
  while (!cached) std::this_thread::yield();
  EXPECT_EQ(a_.stats().cached_bytes, static_cast<int64_t>(cpu_block_bytes(1000)));
  EXPECT_EQ(a_.stats().largest_cached, static_cast<int64_t>(cpu_block_bytes(1000)));
  a_.empty_cache();
  EXPECT_EQ(a_.stats().cached_bytes, 0);
  mutex.unlock();
  other.join();
}

TEST_F(CpuAllocatorTest, ThreadCacheIsBounded) {
  std::vector<void*> blocks;
  for (int i = 0; i < 2000; ++i) blocks.push_back(a_.allocate(4096));
  for (void* p : blocks) a_.deallocate(p, 4096);
  const int64_t before = asked_system();
  std::thread other([&] {  // gets what this thread's cache did not keep
    for (int i = 0; i < 1900; ++i) blocks[static_cast<size_t>(i)] = a_.allocate(4096);
    for (int i = 0; i < 1900; ++i) a_.deallocate(blocks[static_cast<size_t>(i)], 4096);
  });
  other.join();
  EXPECT_EQ(asked_system(), before);
}

TEST_F(CpuAllocatorTest, StorageOwnsItsBlock) {
  {
    Ref<Storage> s = Storage::allocate(1000, kCpu);
    EXPECT_EQ(s->bytes(), 1000u);
    EXPECT_FALSE(s->foreign());
    EXPECT_EQ(live(), 1024);
    Ref<Storage> other = s;
    s = nullptr;
    EXPECT_EQ(live(), 1024);
  }
  EXPECT_EQ(live(), 0);
  EXPECT_EQ(Storage::allocate(0, kCpu)->data(), nullptr);
}

TEST_F(CpuAllocatorTest, BorrowedStorageCallsItsDeleterOnce) {
  int deleted = 0;
  char memory[8];
  {
    Ref<Storage> s = Storage::borrow(
        memory, sizeof(memory), kCpu, [](void* n) { ++*static_cast<int*>(n); }, &deleted);
    EXPECT_EQ(s->data(), memory);
    EXPECT_TRUE(s->foreign());
    Ref<Storage> other = s;
  }
  EXPECT_EQ(deleted, 1);
  EXPECT_TRUE(Storage::borrow(memory, sizeof(memory), kCpu, nullptr, nullptr)->foreign());
}

TEST(AllocatorRegistry, UnknownDeviceIsAnError) {
  try {
    allocator(Device{DeviceType::kCuda, 1});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(e.message(), HasSubstr("cuda:1"));
  }
}

}  // namespace
}  // namespace rutile

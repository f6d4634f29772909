// SPDX-License-Identifier: Apache-2.0
#include "rutile/core/thread_cost.h"

#include <gmock/gmock.h>
#include <sched.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "rutile/core/error.h"
#include "rutile/core/system_info.h"

namespace rutile {
namespace {

using Chunks = std::vector<std::pair<int64_t, int64_t>>;

Chunks chunks_of(int64_t begin, int64_t end, int64_t grain) {
  std::mutex mutex;
  Chunks chunks;
  parallel_for(begin, end, grain, [&](int64_t b, int64_t e) {
    std::lock_guard lock(mutex);
    chunks.emplace_back(b, e);
  });
  std::sort(chunks.begin(), chunks.end());
  return chunks;
}

// Sets a variable for one test.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    value != nullptr ? setenv(name, value, 1) : unsetenv(name);
  }
  ~ScopedEnv() { old_.empty() ? unsetenv(name_) : setenv(name_, old_.c_str(), 1); }

 private:
  const char* name_;
  std::string old_;
};

TEST(ParallelFor, CoversTheRangeOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    const ThreadCountScope scope(threads);
    for (const int64_t end : {5, 6, 7, 100, 1001}) {
      for (const int64_t grain : {0, 1, 3, 50}) {
        const Chunks chunks = chunks_of(-5, end, grain);
        int64_t next = -5;
        for (const auto& [b, e] : chunks) {
          EXPECT_EQ(b, next);
          EXPECT_LT(b, e);
          next = e;
        }
        EXPECT_EQ(next, end);
        const int64_t wanted =
            (end + 5 + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
        EXPECT_EQ(static_cast<int64_t>(chunks.size()), std::min<int64_t>(threads, wanted));
      }
    }
  }
}

TEST(ParallelFor, ChunksAreEven) {
  const ThreadCountScope scope(4);
  EXPECT_EQ(chunks_of(0, 10, 1), (Chunks{{0, 3}, {3, 6}, {6, 8}, {8, 10}}));
  EXPECT_EQ(chunks_of(0, 10, 10), (Chunks{{0, 10}}));
  EXPECT_EQ(chunks_of(0, 11, 10), (Chunks{{0, 6}, {6, 11}}));
  EXPECT_TRUE(chunks_of(3, 3, 1).empty());
  EXPECT_TRUE(chunks_of(5, 3, 1).empty());
  constexpr int64_t kEnd = int64_t{1} << 62;
  const Chunks huge = chunks_of(0, kEnd, 1);
  ASSERT_EQ(huge.size(), 4u);
  EXPECT_EQ(huge[3], (std::pair<int64_t, int64_t>(kEnd / 4 * 3, kEnd)));
}

TEST(ParallelFor, NestedRunsSerially) {
  const ThreadCountScope scope(3);
  std::atomic<int> outer{0}, inner{0};
  parallel_for(0, 3, 1, [&](int64_t, int64_t) {
    ++outer;
    EXPECT_EQ(num_threads(), 1);
    const std::thread::id self = std::this_thread::get_id();
    parallel_for(0, 100, 1, [&](int64_t b, int64_t e) {
      ++inner;
      EXPECT_EQ(std::this_thread::get_id(), self);
      EXPECT_EQ(e - b, 100);
    });
  });
  EXPECT_EQ(outer.load(), 3);
  EXPECT_EQ(inner.load(), 3);
  EXPECT_EQ(num_threads(), 3);
}

#if RUTILE_OPENMP
TEST(ParallelFor, UsesThatManyThreads) {
  const ThreadCountScope scope(4);
  std::mutex mutex;
  std::vector<std::thread::id> ids;
  parallel_for(0, 4, 1, [&](int64_t, int64_t) {
    std::lock_guard lock(mutex);
    ids.push_back(std::this_thread::get_id());
  });
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()) - ids.begin(), 4);
}
#endif

#if defined(__x86_64__)
TEST(ParallelFor, WorkersHaveTheCallersFloatEnvironment) {
  const ThreadCountScope scope(4);
  const unsigned saved = _mm_getcsr();
  const auto subnormals_left = [] {
    std::atomic<int> left{0};
    parallel_for(0, 4, 1, [&](int64_t, int64_t) {
      volatile float tiny = std::numeric_limits<float>::min();
      tiny = tiny * 0.5f;
      if (tiny != 0) ++left;
    });
    return left.load();
  };
  EXPECT_EQ(subnormals_left(), 4);
  _mm_setcsr(saved | 0x8040);  // flush to zero, subnormals are zero
  const int flushed = subnormals_left();
  _mm_setcsr(saved);
  EXPECT_EQ(flushed, 0);
  EXPECT_EQ(subnormals_left(), 4) << "and back again";
}
#endif

TEST(NumThreads, SettingAndScope) {
  const int before = num_threads();
  EXPECT_GE(before, 1);
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  {
    const ThreadCountScope scope(2);
    EXPECT_EQ(num_threads(), 2);
    {
      const ThreadCountScope inner(5);
      EXPECT_EQ(num_threads(), 5);
    }
    EXPECT_EQ(num_threads(), 2);
    int elsewhere = 0;
    std::thread([&] { elsewhere = num_threads(); }).join();
    EXPECT_EQ(elsewhere, 3) << "a scope is of its own thread";
  }
  EXPECT_EQ(num_threads(), 3);
  EXPECT_THROW(set_num_threads(0), Error);
  EXPECT_THROW(ThreadCountScope(-1), Error);
  EXPECT_EQ(num_threads(), 3);
  set_num_threads(before);
}

TEST(DefaultThreads, AffinityToOneCpu) {
  const ScopedEnv env("RUTILE_NUM_THREADS", nullptr);
  int cores = 0, threads = 0, failed = 0;
  std::thread([&] {  // the mask is the thread's, so the others keep theirs
    cpu_set_t all, one;
    failed = sched_getaffinity(0, sizeof(all), &all);
    int cpu = 0;
    while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, &all)) ++cpu;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    failed |= sched_setaffinity(0, sizeof(one), &one);
    cores = affinity_cores();
    threads = default_num_threads();
  })
      .join();
  ASSERT_EQ(failed, 0);
  EXPECT_EQ(cores, 1);
  EXPECT_EQ(threads, 1);
  EXPECT_LE(affinity_cores(), static_cast<int>(std::thread::hardware_concurrency()));
}

TEST(DefaultThreads, EnvironmentOverrides) {
  {
    const ScopedEnv env("RUTILE_NUM_THREADS", "13");
    EXPECT_EQ(default_num_threads(), 13);
  }
  const ScopedEnv unset("RUTILE_NUM_THREADS", nullptr);
  const int usual = default_num_threads();
  for (const char* bad : {"0", "-2", "two", "3x", "99999999999999999999"}) {
    const ScopedEnv env("RUTILE_NUM_THREADS", bad);
    testing::internal::CaptureStderr();
    EXPECT_EQ(default_num_threads(), usual);
    EXPECT_THAT(testing::internal::GetCapturedStderr(),
                testing::HasSubstr(std::string("RUTILE_NUM_THREADS='") + bad + "'"));
  }
  const ScopedEnv env("RUTILE_NUM_THREADS", "");
  EXPECT_EQ(default_num_threads(), usual);
}

TEST(ThreadCost, ThreadsComeWithTheWork) {
  const ThreadCountScope many(16);
  EXPECT_EQ(threads_for(0), 1);
  EXPECT_EQ(threads_for(-1), 1);
  EXPECT_EQ(threads_for(0.9 * kThreadWorthNs), 1);
  EXPECT_EQ(threads_for(kThreadWorthNs), 2);
  EXPECT_EQ(threads_for(7.5 * kThreadWorthNs), 8);
  EXPECT_EQ(threads_for(1e30), 16);
}

TEST(ThreadCost, GrainsAreWhatIsWorthAThread) {
  EXPECT_EQ(grain_for(1), static_cast<int64_t>(kThreadWorthNs));
  EXPECT_EQ(grain_for(kThreadWorthNs / 3), 3);
  EXPECT_EQ(grain_for(1e30), 1);     // an item is not divided
  EXPECT_GT(grain_for(0), 1 << 30);  // nothing to do: alone
  EXPECT_GT(grain_for(1e-30), 1 << 30);
  int chunks = 0;
  const ThreadCountScope two(2);
  parallel_for(0, 10, grain_for(kThreadWorthNs / 10), [&](int64_t, int64_t) { ++chunks; });
  EXPECT_EQ(chunks, 1);
}

}  // namespace
}  // namespace rutile

// SPDX-License-Identifier: Apache-2.0
// Memory, streams, events, copies and capture, on the pretended device.
#include "rutile/core/device_runtime.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstring>
#include <numeric>

#include "rutile/core/interrupt.h"
#include "rutile/core/interrupt_hold.h"
#include "rutile/core/tensor.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/device/fake.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile {
namespace {

using fake::DelayScope;
using fake::kFake;
using fake::kOther;
using fake::MemoryScope;
using ::testing::HasSubstr;

constexpr size_t kKiB = 1024, kMiB = 1024 * kKiB;

class Memory : public ::testing::Test {
 protected:
  DeviceRuntime& runtime = device_runtime(kFake);
  const DeviceFns& fns = runtime.fns();
  Stream compute = runtime.stream(), copies = runtime.stream(StreamKind::kCopy);
  DeviceAllocator memory{fns, 0, compute};
};

TEST_F(Memory, FreedBlocksServeAgain) {
  void* a = memory.allocate(100 * kKiB);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 256, 0u);
  memory.deallocate(a, 100 * kKiB);
  void* b = memory.allocate(90 * kKiB);
  EXPECT_EQ(a, b);
  EXPECT_EQ(memory.stats().system_allocations, 1);
  EXPECT_EQ(memory.stats().allocations, 2);
  memory.deallocate(b, 90 * kKiB);
}

TEST_F(Memory, SegmentsAreSplitAndJoined) {
  std::vector<void*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(memory.allocate(256 * kKiB));
  EXPECT_EQ(memory.stats().system_allocations, 1);  // one segment of 2 MiB
  EXPECT_EQ(memory.stats().live_bytes, static_cast<int64_t>(2 * kMiB));
  for (int i : {1, 3, 0, 2, 7, 5, 6, 4}) memory.deallocate(blocks[static_cast<size_t>(i)], 0);
  EXPECT_EQ(memory.stats().live_bytes, 0);
  EXPECT_EQ(memory.stats().largest_cached, static_cast<int64_t>(2 * kMiB));
  EXPECT_EQ(memory.stats().peak_live_bytes, static_cast<int64_t>(2 * kMiB));
  memory.empty_cache();
  EXPECT_EQ(memory.stats().cached_bytes, 0);
}

TEST_F(Memory, LargeBlocksAreCutFromLargeSegments) {
  void* a = memory.allocate(3 * kMiB);  // of 20 MiB
  void* b = memory.allocate(9 * kMiB);
  EXPECT_EQ(memory.stats().system_allocations, 1);
  void* c = memory.allocate(100 * kMiB);
  EXPECT_EQ(memory.stats().system_allocations, 2);
  for (void* p : {a, b, c}) memory.deallocate(p, 0);
  EXPECT_EQ(memory.stats().largest_cached, static_cast<int64_t>(100 * kMiB));
}

TEST_F(Memory, OutOfMemoryIsReportedAndPasses) {
  memory.set_limit(static_cast<int64_t>(8 * kMiB));
  void* a = memory.allocate(6 * kMiB);
  try {
    memory.allocate(4 * kMiB);
    ADD_FAILURE() << "the limit was ignored";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory);
    for (const char* part : {"out of memory on fake:0", "requested 4.00 MiB", "live 6.00 MiB in 1",
                             "limit 8.00 MiB", "device free", "raise the limit"}) {
      EXPECT_THAT(e.message(), HasSubstr(part));
    }
  }
  memory.deallocate(a, 0);
  void* b = memory.allocate(7 * kMiB);  // what was cached makes room
  memory.deallocate(b, 0);
  memory.set_limit(0);
  EXPECT_RUTILE_ERROR(memory.allocate(size_t{1} << 60), kOutOfMemory, "wrong dimension");
}

TEST_F(Memory, DeviceWithoutMemoryLeft) {
  runtime.memory().empty_cache();
  const MemoryScope small(kFake, 64 << 20);
  std::vector<Tensor> held;
  EXPECT_RUTILE_ERROR(
      for (int i = 0; i < 100; ++i) held.push_back(Tensor::empty({4 << 20}, DType::kF32, kFake)),
      kOutOfMemory, "no such piece of memory left");
  EXPECT_FALSE(held.empty());
  held.clear();
  EXPECT_NO_THROW(Tensor::empty({4 << 20}, DType::kF32, kFake));
  runtime.memory().empty_cache();
}

// A block that the copy stream reads is not given away before that is done.
TEST_F(Memory, WaitsForOtherStreams) {
  const DelayScope slow(20000);
  std::vector<char> host(64 * kKiB);
  void* target = nullptr;
  ASSERT_TRUE(fns.host_allocate(0, host.size(), &target).ok());
  for (int round = 0; round < 5; ++round) {
    void* block = memory.allocate(64 * kKiB);
    ASSERT_TRUE(fns.fill(0, block, 40 + round, 64 * kKiB, compute).ok());
    ASSERT_TRUE(fns.stream_sync(0, compute).ok());
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(fns.copy(0, target, block, 64 * kKiB, CopyKind::kToHost, copies).ok());
    }
    memory.record_use(static_cast<char*>(block) + 100, copies);
    memory.deallocate(block, 0);
    void* next = memory.allocate(64 * kKiB);
    if (next == block) {  // only when the copies are done
      EXPECT_EQ(memory.pending_bytes(), 0);
    }
    ASSERT_TRUE(fns.fill(0, next, 1, 64 * kKiB, compute).ok());
    ASSERT_TRUE(fns.stream_sync(0, copies).ok());
    EXPECT_EQ(static_cast<char*>(target)[64 * kKiB - 1], 40 + round);
    ASSERT_TRUE(fns.stream_sync(0, compute).ok());
    memory.deallocate(next, 0);
    memory.empty_cache();
    EXPECT_EQ(memory.pending_bytes(), 0);
  }
  ASSERT_TRUE(fns.host_release(0, target).ok());
}

TEST_F(Memory, BlocksBelongToTheirStream) {
  void* a = memory.allocate_on(kKiB, copies);
  memory.deallocate(a, 0);
  void* b = memory.allocate(kKiB);
  EXPECT_NE(a, b);
  void* c = memory.allocate_on(kKiB, copies);
  EXPECT_EQ(a, c);
  memory.deallocate(b, 0);
  memory.deallocate(c, 0);
}

TEST(Streams, RunInOrderAndWaitForEvents) {
  const DelayScope slow(200);
  DeviceRuntime& runtime = device_runtime(kFake);
  const DeviceFns& fns = runtime.fns();
  const Stream a = runtime.stream(), b = runtime.stream(StreamKind::kCommunication);
  const Tensor x = Tensor::empty({4096}, DType::kU8, kFake),
               y = Tensor::empty({4096}, DType::kU8, kFake);
  Event filled = nullptr, copied = nullptr;
  ASSERT_TRUE(fns.event_create(0, &filled).ok());
  ASSERT_TRUE(fns.event_create(0, &copied).ok());
  void *px = x.impl()->data, *py = y.impl()->data;
  for (int i = 1; i <= 100; ++i) {
    ASSERT_TRUE(fns.fill(0, px, i, 4096, a).ok());
    ASSERT_TRUE(fns.event_record(0, filled, a).ok());
    ASSERT_TRUE(fns.stream_wait(0, b, filled).ok());
    ASSERT_TRUE(fns.copy(0, py, px, 4096, CopyKind::kOnDevice, b).ok());
    ASSERT_TRUE(fns.event_record(0, copied, b).ok());
    ASSERT_TRUE(fns.stream_wait(0, a, copied).ok());
    if (i % 25 == 0) {
      EXPECT_EQ(y.to_vector<uint8_t>(), std::vector<uint8_t>(4096, static_cast<uint8_t>(i)));
    }
  }
  bool done = false;
  ASSERT_TRUE(fns.event_sync(0, copied).ok());
  ASSERT_TRUE(fns.event_done(0, copied, &done).ok());
  EXPECT_TRUE(done);
  float ms = -1;
  ASSERT_TRUE(fns.event_ms(0, filled, copied, &ms).ok());
  EXPECT_GE(ms, 0);
  ASSERT_TRUE(fns.event_destroy(0, filled).ok());
  ASSERT_TRUE(fns.event_destroy(0, copied).ok());
  synchronize(kFake);
}

std::vector<float> numbers(size_t n) {
  std::vector<float> v(n);
  std::iota(v.begin(), v.end(), 1.0f);
  return v;
}

TEST(Copies, ToAndFromTheDevice) {
  const DelayScope slow(300);
  for (const size_t n : {size_t{1}, size_t{37}, size_t{100'000}, size_t{5'000'000}}) {
    std::vector<float> v = numbers(n);
    Tensor x = Tensor::from<float>(std::span<const float>(v), {static_cast<int64_t>(n)});
    const Tensor on = x.to(kFake);
    // The host's elements may change as soon as the call is back.
    x.mutable_data_as<float>()[0] = -1;
    EXPECT_EQ(on.device(), kFake);
    EXPECT_EQ(on.to_vector<float>(), v);
    EXPECT_EQ(on.to(kOther).to(kCpu).to_vector<float>(), v);
    EXPECT_EQ(on.to(kFake).impl(), on.impl());
  }
  EXPECT_EQ(Tensor::zeros({0, 3}).to(kFake).to(kCpu).shape(), (Shape{0, 3}));
}

TEST(Copies, UploadRunsBesideTheComputeStream) {
  const DelayScope slow(2000);
  DeviceRuntime& runtime = device_runtime(kFake);
  const std::vector<float> v = numbers(1000);
  for (int i = 0; i < 20; ++i) {
    Ref<Storage> s = runtime.upload(v.data(), v.size() * sizeof(float));
    std::vector<float> back(v.size());
    ASSERT_TRUE(runtime.to_host(back.data(), s->data(), s->bytes()).ok());
    EXPECT_EQ(back, v);
  }
}

// Ctrl-C ends the wait, not the work: the device goes on, and whoever waits next gets all of it.
TEST(Interrupts, EndAWaitAndNothingElse) {
  struct Source {
    Source() {
      set_interrupt_source([] { return true; });
    }
    ~Source() { set_interrupt_source(nullptr); }
  };
  Tensor x = Tensor::zeros({64}).to(kFake);
  synchronize(kFake);
  const auto queue_much = [&] {
    const DelayScope slow(40'000);
    for (int i = 0; i < 30; ++i) x = x + 1.0;
    const Source pressed;
    EXPECT_RUTILE_ERROR(synchronize(kFake), kInterrupted, "fake:0: interrupted while waiting");
    EXPECT_RUTILE_ERROR((void)x.to(kCpu), kInterrupted, "goes on with what it was given");
  };
  const auto begin = std::chrono::steady_clock::now();
  queue_much();
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(waited.count(), 0.3) << "30 times 20 ms were queued";
  synchronize(kFake);
  EXPECT_EQ(x.to(kCpu).to_vector<float>(), std::vector<float>(64, 30.0f));
  queue_much();  // without anybody who waits first
  EXPECT_EQ((x * 2.0).to(kCpu).to_vector<float>(), std::vector<float>(64, 120.0f));
}

// Who holds interrupts back waits on.
TEST(Interrupts, ThatAreHeldEndNoWait) {
  Tensor x = Tensor::zeros({64}).to(kFake);
  const DelayScope slow(10'000);
  for (int i = 0; i < 10; ++i) x = x + 1.0;
  const InterruptHold hold;
  set_interrupt_source([] { return true; });
  EXPECT_EQ(x.to(kCpu).to_vector<float>(), std::vector<float>(64, 10.0f));
  set_interrupt_source(nullptr);
  EXPECT_FALSE(stop_requested());
}

// A source tells an interrupt once; whoever asks behind the hold still learns of it.
TEST(Interrupts, ThatWereHeldAreToldBehindTheHold) {
  Tensor x = Tensor::zeros({64}).to(kFake);
  {
    const DelayScope slow(10'000);
    for (int i = 0; i < 10; ++i) x = x + 1.0;
    const InterruptHold hold;
    static std::atomic<int> told{0};
    set_interrupt_source([] { return told++ == 0; });
    EXPECT_EQ(x.to(kCpu).to_vector<float>(), std::vector<float>(64, 10.0f));
    EXPECT_GT(told, 0);
  }
  EXPECT_TRUE(stop_requested());
  EXPECT_FALSE(stop_requested());
  set_interrupt_source(nullptr);
}

TEST(Copies, ReadingNeedsTheHost) {
  const Tensor x = Tensor::from<float>({1.5f, 2.5f}, {2}).to(kFake);
  EXPECT_RUTILE_ERROR(x.data(), kRuntime, "needs a tensor on the cpu, got f32[2]@fake:0");
  EXPECT_THAT(x.repr(), HasSubstr("1.5"));
  EXPECT_THAT(x.repr(), HasSubstr("device=fake:0"));
  EXPECT_EQ(Tensor::scalar(7, DType::kI32).to(kFake).item<int64_t>(), 7);
}

TEST(CopiesDeathTest, TheHostCannotTouchTheMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const Tensor x = Tensor::zeros({16}).to(kFake);
        std::memset(x.impl()->data, 0, 4);
      },
      "");
}

TEST(Capture, RunsWhenLaunched) {
  DeviceRuntime& runtime = device_runtime(kFake);
  const DeviceFns& fns = runtime.fns();
  const Tensor x = Tensor::zeros({64}, DType::kU8).to(kFake);
  const Tensor y = Tensor::zeros({64}, DType::kU8).to(kFake);
  synchronize(kFake);
  const Stream s = runtime.stream();
  CapturedGraph g = nullptr;
  ASSERT_TRUE(fns.capture_begin(0, s).ok());
  EXPECT_FALSE(fns.stream_sync(0, s).ok());
  ASSERT_TRUE(fns.copy(0, y.impl()->data, x.impl()->data, 64, CopyKind::kOnDevice, s).ok());
  ASSERT_TRUE(fns.fill(0, x.impl()->data, 9, 64, s).ok());
  ASSERT_TRUE(fns.capture_end(0, s, &g).ok());
  EXPECT_EQ(x.to_vector<uint8_t>()[0], 0);
  ASSERT_TRUE(fns.graph_launch(0, g, s).ok());
  EXPECT_EQ(x.to_vector<uint8_t>()[63], 9);
  EXPECT_EQ(y.to_vector<uint8_t>()[63], 0);
  ASSERT_TRUE(fns.graph_launch(0, g, s).ok());
  ASSERT_TRUE(fns.graph_destroy(0, g).ok());  // the launch holds what it runs
  EXPECT_EQ(y.to_vector<uint8_t>()[63], 9);
}

}  // namespace
}  // namespace rutile

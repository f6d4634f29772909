// SPDX-License-Identifier: Apache-2.0
// What the kernels are made of: division by multiplying, offsets of broadcast operands, chunks of
// many tensors, reports of errors in data, the emulator itself.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "rutile/core/running_op.h"
#include "rutile/kernels/cuda/device.h"
#include "rutile/kernels/cuda/host.h"
#include "rutile/kernels/cuda/indexer.h"
#include "rutile/kernels/cuda/tensors.h"
#include "rutile/kernels/cuda/thread_handles.h"
#include "rutile/kernels/walk.h"
#include "rutile/ops/index.h"
#include "rutile/ops/kernel_table.h"
#include "rutile/tests/cuda/emulated.h"

namespace rutile::cuda {
namespace {

using testing::HasSubstr;

TEST(Divider, IsExactBelow2To31) {
  std::mt19937 random(1);
  std::vector<uint32_t> sizes{1, 2, 3, 5, 7, 31, 32, 33, 1000, 65535, 65536, 65537, 0x7fffffff};
  for (int i = 0; i < 200; ++i) sizes.push_back(1 + random() % 0x7fffffff);
  for (const uint32_t size : sizes) {
    const Divider d = divider_of(size);
    std::vector<uint32_t> numbers{0, 1, size - 1, size, size + 1, 0x7ffffffe, 0x7fffffff};
    for (int i = 0; i < 200; ++i) numbers.push_back(random() & 0x7fffffff);
    for (const uint32_t n : numbers) {
      if (n > 0x7fffffff) continue;
      ASSERT_EQ(d.divide(n), n / size) << n << " by " << size;
    }
  }
}

TEST(Indexer, FindsWhatAWalkFinds) {
  std::mt19937 random(2);
  for (int round = 0; round < 100; ++round) {
    Shape shape;
    Strides strides[2];
    const int rank = static_cast<int>(random() % 6);
    for (int d = 0; d < rank; ++d) {
      shape.push_back(1 + random() % 5);
      strides[1].push_back(static_cast<int64_t>(random() % 3) - 1);  // broadcast, or backwards
    }
    strides[0] = contiguous_strides(shape);
    Indexer<2> x = make_indexer<2>(shape, strides);
    for (const bool small : {true, false}) {
      x.small = small;
      int64_t i = 0;
      for (kernels::Walk a(shape, strides[0]), b(shape, strides[1]); !a.done();
           a.next(), b.next()) {
        int64_t at[2];
        x.find(i++, at);
        ASSERT_EQ(at[0], a.offset());
        ASSERT_EQ(at[1], b.offset());
      }
    }
  }
}

TEST(Indexer, MergesDimensions) {
  const Shape shape{4, 1, 6, 5};
  const Strides strides[1] = {contiguous_strides(shape)};
  EXPECT_EQ(make_indexer<1>(shape, strides).rank, 1);
}

TEST(Tensors, EveryElementIsInOneBlock) {
  Tensors<1> t;
  const std::vector<int64_t> sizes{1, 0, kChunk, kChunk + 1, 3 * kChunk - 1, 0, 7};
  for (const int64_t n : sizes) t.add(n);
  std::vector<int64_t> seen(sizes.size());
  for (int b = 0; b < t.blocks; ++b) {
    const int e = t.find(b);
    const ChunkRange r(t.entry[e], b);
    ASSERT_LT(r.begin, r.end);
    ASSERT_EQ(r.begin, seen[static_cast<size_t>(e)]);
    seen[static_cast<size_t>(e)] = r.end;
  }
  EXPECT_EQ(seen, sizes);
}

// Every thread gives its number; lanes and threads see those of others behind a barrier.
void exchange_kernel(int* out) {
  __shared__ int shared[64];
  const int t = static_cast<int>(threadIdx.x);
  shared[t] = t;
  __syncthreads();
  const int other = shared[63 - t];
  out[t] = other + 1000 * __shfl_xor_sync(~0u, t, 1);
}

TEST(Emulator, ThreadsMeet) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers know nothing of the emulator's stacks";
#endif
  int out[64] = {};
  ASSERT_EQ(
      launch_blocks(exchange_kernel, {.x = 1, .threads = 64}, nullptr, static_cast<int*>(out)), 0);
  for (int t = 0; t < 64; ++t) EXPECT_EQ(out[t], 63 - t + 1000 * (t ^ 1));
}

TEST(ThreadHandles, PassFromThreadToThread) {
  std::atomic<int> made = 0;
  const auto handle = [&](int device) {
    int h = 0;
    throw_if_error((ThreadHandles<int, 1>::get(device, &h, [&](int* out) {
      *out = 100 * device + ++made;
      return Status();
    })));
    return h;
  };
  const int mine = handle(0);
  EXPECT_EQ(handle(0), mine);
  int other = 0, next = 0, second = 0;
  std::thread([&] { other = handle(0); }).join();
  EXPECT_NE(other, mine);
  std::thread([&] {
    next = handle(0);
    second = handle(1);  // of another device: a new one
  }).join();
  EXPECT_EQ(next, other);
  EXPECT_EQ(second, 103);
  EXPECT_EQ(handle(0), mine);
  EXPECT_EQ(made, 3);
}

TEST(ThreadHandles, AreNotKeptWhereMakingThemFails) {
  int h = 0;
  const auto get = [&](Status s) {
    return ThreadHandles<int, 2>::get(0, &h, [&](int* out) {
      *out = 7;
      return s.ok() ? Status() : Status(s.code(), s.message());
    });
  };
  EXPECT_FALSE(get(value_error("none")).ok());
  EXPECT_TRUE(get(Status()).ok());
  EXPECT_EQ(h, 7);
}

void count_kernel(int* calls) { ++*calls; }

// 2^32 + 1 blocks would be cut to one.
TEST(Launch, RefusesMoreBlocksThanThereAre) {
  int calls = 0;
  const auto blocks = [&](int64_t x, int64_t y) {
    return launch(count_kernel, {.x = x, .y = y, .threads = 1}, nullptr, &calls);
  };
  EXPECT_EQ(blocks((int64_t{1} << 32) + 1, 1), kTooManyBlocks);
  EXPECT_EQ(blocks(int64_t{1} << 31, 1), kTooManyBlocks);
  EXPECT_EQ(blocks(1, 65536), kTooManyBlocks);
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(blocks(2, 65535), 0);
  EXPECT_EQ(calls, 2 * 65535);
  EXPECT_EQ(launch_status(kTooManyBlocks).code(), ErrorCode::kUnsupported);
}

TEST(Faults, NameTheIndex) {
  register_emulated_rows();
  const TensorMeta x({4, 3}, DType::kF32), index({2}, DType::kI64), y({2, 3}, DType::kF32);
  const TensorMeta* in[] = {&x, &index};
  const ops::GatherAttrs attrs;
  const CallMeta call{&ops::kGather, &attrs, in, {&y, 1}};
  std::unique_ptr<Plan> plan;
  throw_if_error(kernel_rows(ops::kGather, DeviceType::kCuda)[0].prepare(call, &plan));
  float from[12] = {}, to[6] = {};
  int64_t rows[2] = {-4, 12};
  void *ins[] = {from, rows}, *outs[] = {to};
  throw_if_error(plan->run(*plan, {ins, outs, nullptr}));
  const Status s = take_emulated_fault();
  EXPECT_EQ(s.code(), ErrorCode::kIndex);
  EXPECT_THAT(s.message(), HasSubstr("index 12 (element 1) is out of range: expects -4 to 3"));
  EXPECT_TRUE(take_emulated_fault().ok());
}

TEST(Fault, NamesWhatItsKernelWasQueuedFor) {
  const auto report = [] { fault_slot(nullptr).raise(FaultKind::kIndex, 7, 0, 3, false); };
  const auto place = [](const void*, const void*) { return std::string("Cell net.table"); };
  {
    const RunningOpScope running({"gather", place, nullptr, nullptr});
    report();
  }
  EXPECT_THAT(take_emulated_fault().message(),
              HasSubstr("expects 0 to 2 | queued by gather in Cell net.table"));
  report();
  EXPECT_EQ(take_emulated_fault().message(), "index 7 (element 0) is out of range: expects 0 to 2");
}

}  // namespace
}  // namespace rutile::cuda

// SPDX-License-Identifier: Apache-2.0
// What lib_cupti.cc makes of activity records, from a stand-in for CUPTI (tests/stubs/cupti).
#include <gtest/gtest.h>

#if defined(RUTILE_CUPTI_BUILT)

#include <cupti.h>
#include <dlfcn.h>

#include <chrono>

#include "rutile/core/device_activity.h"
#include "rutile/kernels/cuda/libraries.h"
#include "rutile/tests/cuda/emulated.h"

namespace rutile::cuda {
namespace {

template <class Fn>
Fn* of_stub(const char* name) {
  void* const library = dlopen(RUTILE_BIN_DIR "/stubs/libcupti.so.13", RTLD_NOW | RTLD_NOLOAD);
  void* const fn = library ? dlsym(library, name) : nullptr;
  EXPECT_NE(fn, nullptr) << name;
  return reinterpret_cast<Fn*>(fn);
}

const ActivityFns& activity() {
  register_emulated_rows();
  return *device_activity(DeviceType::kCuda);
}

TEST(Cupti, KernelsCopiesAndFills) {
  const ActivityFns& fns = activity();
  Status s = start_recording(fns);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_FALSE(start_recording(fns).ok()) << "one recording at a time";
  const auto kernel = of_stub<void(const char*, uint64_t, uint64_t, int)>("stub_cupti_kernel");
  const auto copy = of_stub<void(int, uint64_t, uint64_t, uint64_t)>("stub_cupti_copy");
  const auto fill = of_stub<void(uint64_t, uint64_t, uint64_t)>("stub_cupti_fill");
  fns.push(7);
  kernel("_ZN6rutile4cuda12_GLOBAL__N_13addIfLi2EEEvPKfx", 1000, 3000, 0);
  fns.push(8);
  copy(CUPTI_ACTIVITY_MEMCPY_KIND_HTOD, 512, 2500, 4000);
  fns.pop();
  fill(64, 6000, 6500);
  fns.pop();
  kernel("fused_0123", 10500, 11000, 3);
  of_stub<void(size_t)>("stub_cupti_lose")(2);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  std::vector<DeviceActivity> all;
  int64_t lost = 0;
  s = stop_recording(fns, &all, &lost);
  ASSERT_TRUE(s.ok()) << s.message();
  EXPECT_EQ(lost, 2);
  EXPECT_EQ(of_stub<int()>("stub_cupti_kinds")(), 0) << "nothing is recorded any more";
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0].kind, ActivityKind::kKernel);
  EXPECT_EQ(all[0].name, "rutile::cuda::add<float, 2>");
  EXPECT_EQ(all[0].detail, "12x2x1 blocks of 256 threads, 40 registers, 1024 bytes shared");
  EXPECT_EQ(all[0].op, 7u);
  EXPECT_EQ(all[0].stream, 13);
  EXPECT_FALSE(all[0].graph);
  EXPECT_EQ(all[1].name, "copy to device");
  EXPECT_EQ(all[1].bytes, 512);
  EXPECT_EQ(all[1].op, 8u);
  EXPECT_EQ(all[2].kind, ActivityKind::kFill);
  EXPECT_EQ(all[2].op, 7u) << "the outer one goes on";
  for (size_t i = 3; i < 6; ++i) {
    EXPECT_EQ(all[i].name, "fused_0123");
    EXPECT_TRUE(all[i].graph);
    EXPECT_EQ(all[i].launch, all[3].launch);
    EXPECT_EQ(all[i].op, 0u);
  }
  // The stand-in's clock is at 1,000,000 when the recording is read.
  EXPECT_EQ(all[0].end_ns - all[0].start_ns, 2000);
  const int64_t host = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  EXPECT_NEAR(static_cast<double>(all[0].start_ns + 999'000 - host), 0, 5e8);
  // Kernels 2000, of the copy 1000 more, the fill 500, the graph 1500.
  const ActivitySummary sum = summarize(all, 0);
  EXPECT_EQ(sum.launches, 2);
  EXPECT_EQ(sum.kernels, 4);
  EXPECT_EQ(sum.gaps, 2);
  EXPECT_NEAR(sum.busy_ms, 0.005, 1e-9);
  EXPECT_NEAR(sum.window_ms, 0.011, 1e-9);
  EXPECT_NEAR(sum.longest_gap_ms, 0.004, 1e-9);
  EXPECT_EQ(sum.behind, "fill");
  EXPECT_EQ(to_string(sum),
            "2 launches of 4 kernels, 1 copy, 1 fill; busy 0.005 of 0.011 ms, 2 gaps, the longest "
            "0.004 ms behind fill");
  EXPECT_EQ(summarize(all, 1).kernels, 0) << "of another device";
}

// Of a captured graph each kernel is for what its node was captured for, in every launch; of one
// from before the recording all are for what the launch is for.
TEST(Cupti, KernelsOfGraphsHaveTheirOps) {
  const ActivityFns& fns = activity();
  const auto node = of_stub<void(uint64_t, uint64_t)>("stub_cupti_node");
  const auto graph = of_stub<void(const uint64_t*, int)>("stub_cupti_graph");
  ASSERT_TRUE(start_recording(fns).ok());
  fns.push(100);
  for (const uint64_t n : {1, 2, 3}) {
    fns.push(10 + n);
    node(n, 0);
    if (n == 2) node(20, 0);  // two kernels of one op
    fns.pop();
  }
  for (const uint64_t n : {1, 2, 3, 20}) node(1000 + n, n);
  const uint64_t captured[] = {1001, 1002, 1020, 1003}, before[] = {77, 78};
  for (int i = 0; i < 2; ++i) graph(captured, 4);
  graph(before, 2);
  fns.pop();
  std::vector<DeviceActivity> all;
  int64_t lost = 0;
  ASSERT_TRUE(stop_recording(fns, &all, &lost).ok());
  std::vector<uint64_t> ops;
  for (const DeviceActivity& a : all) ops.push_back(a.op);
  EXPECT_EQ(ops, (std::vector<uint64_t>{11, 12, 12, 13, 11, 12, 12, 13, 100, 100}));
  EXPECT_EQ(of_stub<int()>("stub_cupti_listens")(), 0) << "other tools may listen again";
  node(1, 0);  // nobody hears it
}

TEST(Cupti, ARecordingBeginsWithNothing) {
  const ActivityFns& fns = activity();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(start_recording(fns).ok());
    of_stub<void(const char*, uint64_t, uint64_t, int)>("stub_cupti_kernel")("k", 1, 2, 0);
    std::vector<DeviceActivity> all;
    int64_t lost = 0;
    ASSERT_TRUE(stop_recording(fns, &all, &lost).ok());
    EXPECT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].op, 0u);
  }
}

}  // namespace
}  // namespace rutile::cuda

#endif

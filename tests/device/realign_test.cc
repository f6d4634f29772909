// SPDX-License-Identifier: Apache-2.0
// Operands that begin at no multiple of 16 bytes, as rows of the CUDA plugin hand them to
// libraries; on the pretended device.
#include "rutile/kernels/cuda/realign.h"

#include <gtest/gtest.h>

#include "rutile/core/tensor.h"
#include "rutile/ops/view.h"
#include "rutile/tests/device/fake.h"

namespace rutile {
namespace {

using cuda::Realigned;
using fake::DelayScope;
using fake::kFake;
using fake::MemoryScope;

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

class Realign : public ::testing::Test {
 protected:
  DeviceRuntime& runtime = device_runtime(kFake);
  Tensor base = Tensor::from<float>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {2, 5}).to(kFake);
  Tensor view = ops::slice(base, {1}, {2});  // 20 bytes in
  void* const p = view.impl()->data;
};

TEST_F(Realign, CopiesWhatIsNotAligned) {
  ASSERT_FALSE(aligned(p));
  const DelayScope delay(300);
  std::vector<float> got(5);
  {
    Realigned in(kFake, runtime.stream(), /*captured=*/false);
    void *copy = nullptr, *same = nullptr;
    throw_if_error(in.place(p, 20, &copy));
    throw_if_error(in.place(base.impl()->data, 40, &same));
    EXPECT_TRUE(aligned(copy));
    EXPECT_EQ(same, base.impl()->data);
    throw_if_error(runtime.to_host(got.data(), copy, 20));
  }
  EXPECT_EQ(got, (std::vector<float>{5, 6, 7, 8, 9}));
}

TEST_F(Realign, RefusesWhileCapturing) {
  Realigned in(kFake, runtime.stream(), /*captured=*/true);
  void* copy = nullptr;
  EXPECT_EQ(in.place(p, 20, &copy).code(), ErrorCode::kUnsupported);
  EXPECT_TRUE(in.place(base.impl()->data, 40, &copy).ok());
}

TEST_F(Realign, SaysThatMemoryIsOut) {
  const MemoryScope none(kFake, 1);
  Realigned in(kFake, runtime.stream(), /*captured=*/false);
  void* copy = nullptr;
  // More than the allocator keeps; only the size is looked at.
  EXPECT_EQ(in.place(p, size_t{1} << 40, &copy).code(), ErrorCode::kOutOfMemory);
}

}  // namespace
}  // namespace rutile

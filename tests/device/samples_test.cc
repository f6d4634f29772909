// SPDX-License-Identifier: Apache-2.0
// Every op of the table on the pretended device against the cpu: forward and gradient, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "rutile/ops/call.h"
#include "rutile/tests/device/fake.h"
#include "rutile/tests/ops/samples/on_device.h"

namespace rutile {
namespace {

using samples::Sample;
using Tensors = std::vector<Tensor>;

// Ops that are not run here, and why.
const std::map<std::string_view, std::string_view> kExcluded = {
    {"to_device", "its samples name the device that they go to"},
};

std::string bytes_of(const Tensor& t) {
  std::string bytes(static_cast<size_t>(t.numel()) * dtype_size(t.dtype()), '\0');
  t.copy_out(bytes.data(), bytes.size());
  return bytes;
}

void expect_same(const std::string& what, const Tensors& got, const Tensors& want) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].defined(), want[i].defined()) << what << ", result " << i;
    if (!got[i].defined()) continue;
    EXPECT_EQ(got[i].device(), fake::kFake) << what << ", result " << i;
    ASSERT_EQ(got[i].shape(), want[i].shape()) << what << ", result " << i;
    ASSERT_EQ(got[i].dtype(), want[i].dtype()) << what << ", result " << i;
    EXPECT_TRUE(bytes_of(got[i]) == bytes_of(want[i])) << what << ", result " << i << " is\n"
                                                       << got[i].repr() << "\ninstead of\n"
                                                       << want[i].repr();
  }
}

class DeviceSample : public ::testing::Test {
 public:
  explicit DeviceSample(const OpDef& op) : op_(op) {}
  void TestBody() override {
    const samples::SampleList list = samples::samples_of(op_);
    for (const Sample& s : list.samples) {
      for (const DType t : s.dtypes) {
        if (HasFailure()) return;
        if (!s.not_deterministic.empty()) continue;
        try {
          compare(s, t);
        } catch (const Error& e) {
          ADD_FAILURE() << s.describe(t) << ": " << e.message();
        }
      }
    }
    try {
      synchronize(fake::kFake);
    } catch (const Error& e) {
      ADD_FAILURE() << op_.name << ": " << e.message();
    }
  }

 private:
  static void compare(const Sample& s, DType t) {
    // Copies lie without gaps, on both.
    const Tensors there = samples::moved(s.make_inputs(t), fake::kFake);
    const Tensors in = samples::moved(there, kCpu);
    const auto on_device = [&](auto&& fn) {
      // Ops without inputs run on the device in force.
      const bool any = std::any_of(there.begin(), there.end(), [](auto& x) { return x.defined(); });
      const DeviceScope scope(any ? kCpu : fake::kFake);
      return fn(s, there);
    };
    expect_same(s.describe(t), on_device(samples::run_sample), samples::run_sample(s, in));
    if (!samples::has_gradient(s)) return;
    expect_same(cat("gradient of ", s.describe(t)), on_device(samples::gradient_of),
                samples::gradient_of(s, in));
  }
  const OpDef& op_;
};

bool register_tests() {
  for (const OpDef* op : all_ops()) {
    if (kExcluded.count(op->name) > 0) continue;
    ::testing::RegisterTest("DeviceSamples", op->name, nullptr, nullptr, __FILE__, __LINE__,
                            [op]() -> ::testing::Test* { return new DeviceSample(*op); });
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_tests();

}  // namespace
}  // namespace rutile

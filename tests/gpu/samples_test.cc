// SPDX-License-Identifier: Apache-2.0
// Every sample of every op on a GPU against the CPU, forward and gradient. Skipped without a GPU;
// benchmarks/gpu/run.sh samples runs it on one. One test per op: Gpu/Samples.add. Another device:
// RUTILE_GPU_DEVICE=fake.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "rutile/core/device_runtime.h"
#include "rutile/ops/call.h"
#include "rutile/tests/ops/samples/on_device.h"

namespace rutile {
namespace {

using samples::Sample;
using Tensors = std::vector<Tensor>;

Device the_device() {
  Device device{DeviceType::kCuda, 0};
  if (const char* named = std::getenv("RUTILE_GPU_DEVICE")) (void)parse_device(named, &device);
  return device;
}

// |got - want| within the tolerance of the type, NaN and infinities at the same places.
std::string difference(const Tensor& got, const Tensor& want, samples::Tolerance tolerance) {
  if (!(got.shape() == want.shape()) || got.dtype() != want.dtype()) return "another shape or type";
  const std::vector<double> a = samples::to_doubles(got.to(kCpu)), b = samples::to_doubles(want);
  for (size_t i = 0; i < a.size(); ++i) {
    const bool same = a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]));
    if (same || std::abs(a[i] - b[i]) <= tolerance.atol + tolerance.rtol * std::abs(b[i])) continue;
    return cat("element ", i, ": ", a[i], " instead of ", b[i]);
  }
  return "";
}

// The GPU sums in another order: twice what a sample grants the CPU's rows.
samples::Tolerance tolerance_of(const Sample& s, DType t) {
  const samples::Tolerance own = s.tolerance(t);
  return {2 * own.rtol, 2 * own.atol};
}

std::string difference(const Sample& s, const Tensors& got, const Tensors& want) {
  if (got.size() != want.size()) return "another number of results";
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i].defined() != want[i].defined()) return cat("result ", i, " is there on one only");
    if (!want[i].defined()) continue;
    const std::string why = difference(got[i], want[i], tolerance_of(s, want[i].dtype()));
    if (!why.empty()) return cat("result ", i, ": ", why);
  }
  return "";
}

class GpuSamples : public testing::Test {
 public:
  explicit GpuSamples(const OpDef& op) : op_(op) {}
  void TestBody() override {
    const samples::SampleList list = samples::samples_of(op_);
    int failures = 0;
    for (const Sample& s : list.samples) {
      for (const DType t : s.dtypes) {
        if (failures > 5) return;
        failures += check(s, t);
      }
    }
  }

 private:
  static int check(const Sample& s, DType t) {
    std::string why;
    try {
      const Tensors in = s.make_inputs(t), there = samples::moved(in, the_device());
      why = difference(s, samples::run_sample(s, there), samples::run_sample(s, in));
      if (why.empty() && samples::has_gradient(s) && s.not_deterministic.empty()) {
        why = difference(s, samples::gradient_of(s, there), samples::gradient_of(s, in));
        if (!why.empty()) why = "gradient: " + why;
      }
    } catch (const std::exception& e) {
      why = e.what();
    }
    if (why.empty()) return 0;
    ADD_FAILURE() << s.describe(t) << ": " << why;
    return 1;
  }
  const OpDef& op_;
};

class NoGpu : public testing::Test {
 public:
  void TestBody() override { GTEST_SKIP() << "no GPU: nothing was compared"; }
};

bool register_tests() {
  if (device_count(the_device().type) <= the_device().index) {
    testing::RegisterTest("Gpu", "Samples", nullptr, nullptr, __FILE__, __LINE__,
                          [] { return new NoGpu(); });
    return false;
  }
  for (const OpDef* op : all_ops()) {
    if (!samples::has_samples(*op) || op->runs_bodies) continue;
    testing::RegisterTest("Gpu/Samples", op->name, nullptr, nullptr, __FILE__, __LINE__,
                          [op] { return new GpuSamples(*op); });
  }
  return true;
}
[[maybe_unused]] const bool kRegistered = register_tests();

}  // namespace
}  // namespace rutile

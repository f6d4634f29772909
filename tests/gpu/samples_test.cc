// SPDX-License-Identifier: Apache-2.0
// Every sample of every op on a GPU against the CPU, forward and gradient. Skipped without a GPU;
// benchmarks/gpu/run.sh samples runs it on one. One test per op: Gpu/Samples.add.
#include <gtest/gtest.h>

#include <cmath>

#include "rutile/autograd/tape.h"
#include "rutile/core/plugin.h"
#include "rutile/ops/call.h"
#include "rutile/ops/reduce.h"
#include "rutile/tests/ops/samples/sample.h"

namespace rutile {
namespace {

using samples::Sample;
using Tensors = std::vector<Tensor>;

constexpr Device kGpu{DeviceType::kCuda, 0};

bool has_gpu() {
  static const bool found = [] {
    const DeviceFns* fns = nullptr;
    return find_devices(DeviceType::kCuda, &fns).ok() && fns->count() > 0;
  }();
  return found;
}

Tensors moved(const Tensors& in, Device device) {
  Tensors out;
  for (const Tensor& t : in) out.push_back(t.defined() ? t.to(device) : t);
  return out;
}

// What an op writes in place belongs to it alone.
Tensors run(const Sample& s, const Tensors& in) {
  Tensors own;
  for (size_t i = 0; i < in.size(); ++i) {
    const int named = std::min(static_cast<int>(i), s.op->num_inputs - 1);
    const bool mutated = named >= 0 && (s.op->mutate_mask >> named & 1u);
    if (mutated && in[i].defined()) {
      own.push_back(samples::place(in[i].to(kCpu), in[i].meta()).to(in[i].device()));
    } else {
      own.push_back(in[i]);
    }
  }
  const TensorList out = call_n(*s.op, s.attrs.get(), own);
  return {out.begin(), out.end()};
}

// ||got - want|| within the tolerance of the type, NaN and infinities at the same places.
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
  int check(const Sample& s, DType t) const {
    std::string why;
    try {
      const Tensors in = s.make_inputs(t);
      const Tensors want = run(s, in), got = run(s, moved(in, kGpu));
      if (got.size() != want.size()) why = "another number of results";
      for (size_t i = 0; why.empty() && i < got.size(); ++i) {
        if (!want[i].defined()) continue;
        why = difference(got[i], want[i], tolerance_of(s, want[i].dtype()));
        if (!why.empty()) why = cat("result ", i, ": ", why);
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
  if (!has_gpu()) {
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

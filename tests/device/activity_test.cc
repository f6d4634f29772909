// SPDX-License-Identifier: Apache-2.0
// Profiles and explain() of a device that says itself what it did: compiled steps run as one graph
// while they are watched.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "rutile/core/device_activity.h"
#include "rutile/graph/compile.h"
#include "rutile/graph/explain.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/profile/profiler.h"
#include "rutile/tests/device/fake.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile {
namespace {

using fake::kFake;
using fake::queued;
using profile::Event;
using profile::EventKind;
using profile::Profiler;
using testing::HasSubstr;

int count(const Profiler& p, EventKind kind) {
  return static_cast<int>(std::count_if(p.events().begin(), p.events().end(),
                                        [&](const Event& e) { return e.kind == kind; }));
}

struct Training {
  nn::CellPtr net =
      nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 12, .hidden = 8, .classes = 3});
  std::unique_ptr<nn::TrainStep> step;
  Tensor x = ops::random_normal(Tensor::from<uint64_t>({1}, {1}), {.shape = {4, 12}}),
         y = Tensor::from<int64_t>({0, 1, 2, 0}, {4});

  Training() {
    net->to(kFake);
    auto opt = std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
    step = std::make_unique<nn::TrainStep>(net, nn::CrossEntropyLoss(), opt,
                                           nn::StepOptions{.mode = nn::Mode::kGraph});
    x = x.to(kFake);
    y = y.to(kFake);
    for (int i = 0; i < 3; ++i) (*step)(x, y);
    synchronize(kFake);
  }
};

TEST(DeviceActivity, StepsStayOneGraph) {
  Training t;
  const int64_t kernels = t.step->report()->kernels;
  (void)queued();
  Profiler p;
  for (int i = 0; i < 4; ++i) (*t.step)(t.x, t.y);
  p.stop();
  const fake::Queued q = queued();
  EXPECT_EQ(q.graphs, 4);
  EXPECT_EQ(q.kernels, 0);
  EXPECT_EQ(count(p, EventKind::kRun), 4);
  EXPECT_EQ(count(p, EventKind::kKernel), 0) << "the host looks at no kernel";
  EXPECT_GE(count(p, EventKind::kDevice), 4 * kernels);
  double last = 0;
  int from_cells = 0;
  for (const Event& e : p.events()) {
    EXPECT_GE(e.start_us, last) << "in order";
    last = e.start_us;
    if (e.kind != EventKind::kDevice) continue;
    EXPECT_EQ(e.device, "fake:0");
    EXPECT_GE(e.us, 0);
    EXPECT_LE(e.start_us + e.us, 1e6 * p.seconds() + 1e4);
    if (e.name == "copy") continue;  // of the learning rate, in front of the step
    // Of its op, not of the graph that was launched: "matmul" is a matmul of this Cell.
    EXPECT_EQ(e.kernel, e.name);
    EXPECT_FALSE(e.phase.empty()) << e.name;
    from_cells += !e.cell.empty();
  }
  EXPECT_GE(from_cells, 4 * 3);
  EXPECT_THAT(p.devices(), HasSubstr(cat("fake:0: 4 launches of ", 4 * kernels, " kernels")));
  EXPECT_THAT(p.devices(), HasSubstr("; busy "));
  EXPECT_THAT(p.devices(), HasSubstr(cat("of 4 compiled steps: 1 launches, ", kernels)));
  EXPECT_THAT(p.table(), HasSubstr("of the device"));
  EXPECT_THAT(p.table(), HasSubstr(p.devices()));
}

// A second recording has its own names, and so has a step that was never captured.
TEST(DeviceActivity, EveryRecordingHasTheOpsOfItsKernels) {
  Training t;
  for (int i = 0; i < 3; ++i) {
    Profiler p;
    for (int k = 0; k <= i; ++k) (*t.step)(t.x, t.y);
    p.stop();
    int kernels = 0;
    for (const Event& e : p.events()) {
      if (e.kind != EventKind::kDevice || e.name == "copy") continue;
      ++kernels;
      EXPECT_EQ(e.kernel, e.name) << i;
    }
    EXPECT_EQ(kernels, (i + 1) * t.step->report()->kernels);
  }
  (void)queued();
  for (int i = 0; i < 3; ++i) (*t.step)(t.x, t.y);
  EXPECT_EQ(queued().graphs, 3) << "captured graphs go on serving";
  // Kernel by kernel: the first run of a session is not captured.
  Profiler p;
  const Tensor x = ops::random_normal(Tensor::from<uint64_t>({3}, {1}), {.shape = {3, 12}});
  (*t.step)(x.to(kFake), Tensor::from<int64_t>({0, 1, 2}, {3}).to(kFake));
  p.stop();
  int named = 0;
  for (const Event& e : p.events()) {
    named += e.kind == EventKind::kDevice && e.kernel == "linear";
  }
  EXPECT_GE(named, 2);
}

TEST(DeviceActivity, KernelsOfEagerOpsBelongToThem) {
  const Tensor x = Tensor::full({8, 8}, 1.0).to(kFake);
  synchronize(kFake);
  Profiler p;
  EXPECT_THROW((void)ops::matmul(x, Tensor::full({3, 8}, 1.0).to(kFake)), Error);
  const Tensor y = ops::relu(ops::matmul(x, x));
  p.stop();
  int found = 0;
  for (const Event& e : p.events()) {
    if (e.kind != EventKind::kDevice || (e.name != "matmul" && e.name != "relu")) continue;
    ++found;
    EXPECT_EQ(e.kernel, e.name);
    EXPECT_THAT(e.place, HasSubstr("activity_test.cc:"));
    EXPECT_EQ(e.phase, "forward");
  }
  EXPECT_EQ(found, 2);
}

TEST(DeviceActivity, ATraceHasTheDevicesStreams) {
  Training t;
  Profiler p;
  (*t.step)(t.x, t.y);
  p.stop();
  const auto all = nlohmann::json::parse(p.to_json())["traceEvents"];
  int device = 0;
  bool named = false;
  for (const auto& e : all) {
    named |= e["ph"] == "M" && e["pid"] == 2 && e["args"]["name"] == "fake:0";
    if (!e.contains("cat") || e["cat"] != "device") continue;
    ++device;
    EXPECT_EQ(e["pid"], 2);
    if (e["name"] == "copy") continue;
    EXPECT_EQ(e["args"]["op"], e["name"]);
  }
  EXPECT_TRUE(named);
  EXPECT_EQ(device, count(p, EventKind::kDevice));
}

TEST(DeviceActivity, WhatWasQueuedBeforeIsNotRecorded) {
  Training t;
  const fake::DelayScope slow(2000);
  for (int i = 0; i < 3; ++i) (*t.step)(t.x, t.y);
  Profiler p;
  (*t.step)(t.x, t.y);
  p.stop();
  EXPECT_THAT(p.devices(), HasSubstr("fake:0: 1 launch of "));
  EXPECT_THAT(p.devices(), HasSubstr("of 1 compiled step:"));
}

TEST(DeviceActivity, WithoutItTheHostLooksAtEachKernel) {
  Training t;
  {
    Profiler p({.device = false});
    (*t.step)(t.x, t.y);
    p.stop();
    EXPECT_EQ(count(p, EventKind::kDevice), 0);
    EXPECT_EQ(count(p, EventKind::kKernel), t.step->report()->kernels);
  }
  // Another one records: the profile says so, and goes on without.
  const ActivityFns* fns = device_activity(DeviceType::kFake);
  ASSERT_TRUE(start_recording(*fns).ok());
  {
    Profiler p;
    (*t.step)(t.x, t.y);
    p.stop();
    EXPECT_EQ(count(p, EventKind::kKernel), t.step->report()->kernels);
    EXPECT_THAT(p.devices(), HasSubstr("recorded already"));
  }
  std::vector<DeviceActivity> all;
  int64_t lost = 0;
  ASSERT_TRUE(stop_recording(*fns, &all, &lost).ok());
  { Profiler left_alone; }
  EXPECT_TRUE(start_recording(*fns).ok()) << "a Profiler that was not stopped records no longer";
  EXPECT_TRUE(stop_recording(*fns, &all, &lost).ok());
}

TEST(DeviceActivity, ExplainHasTheDevicesTimes) {
  Training t;
  const graph::Explanation e = t.step->explain(t.x, t.y, {.runs = 3});
  EXPECT_THAT(e.device_run, HasSubstr(cat("1 launch of ", e.kernels.size(), " kernels")));
  EXPECT_GT(e.busy_ms, 0);
  EXPECT_GE(e.gap_ms, 0);
  EXPECT_THAT(e.text(), HasSubstr("  gaps  "));
  EXPECT_THAT(e.to_json(), HasSubstr("\"longest_gap_ms\""));
  for (const graph::KernelTime& k : e.kernels) EXPECT_GT(k.ms, 0) << k.op;
}

}  // namespace
}  // namespace rutile

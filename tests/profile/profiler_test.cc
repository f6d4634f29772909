// SPDX-License-Identifier: Apache-2.0
#include "rutile/profile/profiler.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "rutile/autograd/tape.h"
#include "rutile/core/error.h"
#include "rutile/debug/anomaly.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/control.h"
#include "rutile/ops/matmul.h"
#include "rutile/ops/softmax.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/tests/support/temp_dir.h"

namespace rutile::profile {
namespace {

using ::testing::HasSubstr;
using testing::TempDir;

int count(const Profiler& p, const std::string& name, EventKind kind = EventKind::kOp) {
  return static_cast<int>(std::count_if(p.events().begin(), p.events().end(), [&](const Event& e) {
    return e.name == name && e.kind == kind;
  }));
}

const Event& event(const Profiler& p, const std::string& name) {
  for (const Event& e : p.events()) {
    if (e.name == name) return e;
  }
  throw std::runtime_error("no event " + name);
}

TEST(Profiler, RecordsOpsWithShapesAndLines) {
  const Tensor x = Tensor::full({4, 8}, 1.0), w = Tensor::full({8, 2}, 1.0);
  ops::relu(x);
  Profiler p;
  const int line = __LINE__ + 1;
  ops::softmax(ops::matmul(x, w));
  EXPECT_THROW(ops::matmul(x, x), Error);
  p.stop();
  ops::relu(x);
  EXPECT_EQ(count(p, "matmul"), 2);
  EXPECT_EQ(count(p, "relu"), 0) << "before the start, after the end";
  const Event& e = event(p, "matmul");
  EXPECT_EQ(e.operands, "f32[4,8] f32[8,2] -> f32[4,2]");
  EXPECT_EQ(e.place, cat("tests/profile/profiler_test.cc:", line));
  EXPECT_EQ(e.phase, "forward");
  EXPECT_EQ(e.depth, 0);
  EXPECT_GE(e.us, e.self_us);
  EXPECT_GE(event(p, "softmax").start_us, e.start_us + e.us);
  EXPECT_EQ(call_modes().run, nullptr);
}

TEST(Profiler, SpansNestAndSurviveErrors) {
  const Tensor x = Tensor::full({4}, 1.0);
  { Span alone("without a profiler"); }
  Profiler p;
  try {
    Span outer("outer");
    Span inner("inner");
    ops::relu(x);
    ops::matmul(x, Tensor::full({3}, 1.0));
  } catch (const Error&) {
  }
  {
    Span later("later");
    ops::relu(x);
  }
  p.stop();
  EXPECT_EQ(event(p, "outer").depth, 0);
  EXPECT_EQ(event(p, "inner").depth, 1);
  EXPECT_EQ(event(p, "relu").depth, 2);
  EXPECT_EQ(event(p, "later").depth, 0);
  EXPECT_LE(event(p, "inner").us, event(p, "outer").us);
  EXPECT_LE(event(p, "outer").self_us, event(p, "outer").us - event(p, "inner").us + 1e-6);
}

TEST(Profiler, OneAThread) {
  Profiler p;
  EXPECT_THROW(Profiler second, Error);
  std::thread([] {
    Profiler other;
    ops::relu(Tensor::full({4}, 1.0));
    other.stop();
    EXPECT_EQ(other.events().size(), 1u);
  }).join();
  p.stop();
  p.stop();
  EXPECT_EQ(count(p, "relu"), 0);
  Profiler third;
}

TEST(Profiler, KeepsNoMoreThanAsked) {
  const Tensor x = Tensor::full({4}, 1.0);
  Profiler p({.shapes = false, .max_events = 3});
  for (int i = 0; i < 10; ++i) ops::relu(x);
  p.stop();
  EXPECT_EQ(p.events().size(), 3u);
  EXPECT_EQ(p.dropped(), 7);
  EXPECT_EQ(p.events()[0].operands, "");
  EXPECT_THAT(p.table(), HasSubstr("7 events beyond"));
}

class ProfiledSteps : public ::testing::TestWithParam<nn::Mode> {};
INSTANTIATE_TEST_SUITE_P(Modes, ProfiledSteps,
                         ::testing::Values(nn::Mode::kEager, nn::Mode::kGraph), [](const auto& p) {
                           return p.param == nn::Mode::kEager ? "eager" : "graph";
                         });

TEST_P(ProfiledSteps, HaveCellsPhasesTablesAndATrace) {
  auto net = nn::make<nn::models::Mlp>(nn::models::MlpOptions{.inputs = 12, .hidden = 16});
  auto sgd = std::make_shared<nn::optim::SGD>(net->parameters(), nn::optim::SGDOptions{});
  nn::TrainStep step(net, nn::CrossEntropyLoss(), sgd, {.mode = GetParam()});
  const Tensor x = Tensor::full({8, 12}, 0.5), y = Tensor::full({8}, 1, DType::kI64);
  step(x, y);
  Profiler p;
  for (int i = 0; i < 3; ++i) {
    Span span("step");
    step(x, y);
  }
  p.stop();
  EXPECT_EQ(count(p, "step", EventKind::kSpan), 3);
  EXPECT_EQ(count(p, "compiled step", EventKind::kRun), GetParam() == nn::Mode::kGraph ? 3 : 0);
  for (const char* phase : {"forward", "backward", "optimizer"}) {
    const auto in_phase = std::count_if(p.events().begin(), p.events().end(),
                                        [&](const Event& e) { return e.phase == phase; });
    EXPECT_GE(in_phase, 3) << phase;
    EXPECT_EQ(in_phase % 3, 0) << phase << ": all steps alike";
  }
  const std::string table = p.table();
  EXPECT_THAT(table, HasSubstr("Mlp.fc1"));
  EXPECT_THAT(table, HasSubstr("linear"));
  for (size_t at = 0, end = 0; end != std::string::npos; at = end + 1) {
    end = table.find('\n', at);
    EXPECT_LE(std::min(end, table.size()) - at, 100u) << table.substr(at, end - at);
  }
  TempDir dir;
  const std::string path = dir.path() + "/trace.json";
  p.write(path);
  const auto trace = nlohmann::json::parse(std::ifstream(path));
  int complete = 0;
  for (const auto& e : trace["traceEvents"]) {
    if (e["ph"] != "X") continue;
    ++complete;
    EXPECT_TRUE(e["ts"].is_number() && e["dur"].is_number() && e["name"].is_string());
  }
  EXPECT_EQ(complete, static_cast<int>(p.events().size()));
  EXPECT_THROW(p.write(dir.path() + "/no/such/folder/trace.json"), Error);
}

TEST(Profiler, LooksIntoCompiledBodies) {
  using Tensors = std::vector<Tensor>;
  graph::Compiled f = graph::compile([](const Tensors& in) {
    return ops::scan(
               [](const Tensors& c, const Tensors& x) -> ops::ScanStep {
                 const Tensor y = ops::matmul(c[0], x[0]);
                 return {{ops::softmax(y)}, {}};
               },
               {in[0]}, {in[1]})
        .carry;
  });
  const Tensor c = Tensor::full({2, 2}, 0.5), x = Tensor::full({5, 2, 2}, 0.5);
  f({c, x});
  Profiler p({.max_events = 1000});
  f({c, x});
  p.stop();
  EXPECT_EQ(count(p, "scan", EventKind::kKernel), 1);
  EXPECT_EQ(count(p, "softmax", EventKind::kKernel), 5) << "one an iteration";
  const Event &loop = event(p, "scan"), &inside = event(p, "softmax");
  EXPECT_EQ(loop.depth, 1);
  EXPECT_EQ(inside.depth, 2);
  EXPECT_GE(inside.start_us, loop.start_us);
  EXPECT_LE(inside.start_us + inside.us, loop.start_us + loop.us + 1e-6);
  EXPECT_LT(loop.self_us, loop.us);
  EXPECT_THAT(inside.place, HasSubstr("profiler_test.cc"));
}

TEST(Profiler, CrossesOthersAndStopsInItsThread) {
  const Tensor x = Tensor::full({4}, 1.0);
  auto p = std::make_unique<Profiler>();
  auto scope = std::make_unique<debug::DetectAnomaly>();
  p.reset();
  ops::relu(x);
  Profiler next;
  scope.reset();
  ops::relu(x);
  std::thread([&] { EXPECT_THROW(next.stop(), Error); }).join();
  ops::relu(x);
  next.stop();
  EXPECT_EQ(count(next, "relu"), 2);
  p = std::make_unique<Profiler>();
  std::thread([&] { p.reset(); }).join();
  ops::relu(x);
  Profiler last;
  EXPECT_NE(call_modes().run, nullptr);
}

}  // namespace
}  // namespace rutile::profile

// SPDX-License-Identifier: Apache-2.0
// Networks that train on the pretended device as on the cpu: the same losses, bit for bit.
#include <gtest/gtest.h>

#include <cstring>
#include <utility>

#include "rutile/core/device_settings.h"
#include "rutile/core/log.h"
#include "rutile/graph/compile.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/models/lenet.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/control.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/plan_cache.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/transfer.h"
#include "rutile/tests/device/fake.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile {
namespace {

using fake::DelayScope;
using fake::kFake;

struct Case {
  const char* name;
  std::function<nn::CellPtr()> net;
  Shape batch;
  int64_t classes;
};

const Case kCases[] = {
    {"MLP", [] { return nn::make<nn::models::Mlp>(); }, Shape{8, 1, 28, 28}, 10},
    {"LeNet", [] { return nn::make<nn::models::LeNet>(); }, Shape{4, 1, 32, 32}, 10},
    {"ResNet",
     [] {
       return nn::make<nn::models::ResNet>(
           nn::models::ResNetOptions{.blocks = {1, 1, 1, 1}, .bottleneck = false, .classes = 5});
     },
     Shape{2, 3, 32, 32}, 5},
};

// Losses of some steps, then the parameters.
std::vector<std::vector<float>> trained(const Case& c, Device device, nn::Mode mode, bool bf16) {
  set_seed(5);
  const nn::CellPtr net = c.net();
  net->to(device);
  auto opt = std::make_shared<nn::optim::Momentum>(
      net->parameters(), nn::optim::MomentumOptions{.lr = 0.01, .momentum = 0.9});
  nn::StepOptions options{.mode = mode};
  if (bf16) options.amp = DType::kBF16;
  nn::TrainStep step(net, nn::CrossEntropyLoss(), opt, options);
  std::vector<std::vector<float>> all(1);
  for (uint64_t i = 0; i < 3; ++i) {
    const Tensor x = ops::random_normal(Tensor::from<uint64_t>({i}, {1}), {.shape = c.batch});
    const Tensor y = ops::random_randint(Tensor::from<uint64_t>({i + 9}, {1}),
                                         {.shape = {c.batch[0]}, .low = 0, .high = c.classes});
    const Tensor loss = step(x, y).loss;
    EXPECT_EQ(loss.device(), device);
    all[0].push_back(loss.item<float>());
  }
  for (const nn::ParameterPtr& p : net->parameters()) {
    EXPECT_EQ(p->meta().device, device);
    all.push_back(p->value().to_vector<float>());
  }
  return all;
}

class Training : public testing::TestWithParam<std::tuple<Case, nn::Mode>> {};

TEST_P(Training, GivesTheBitsOfTheCpu) {
  const auto& [c, mode] = GetParam();
  const DelayScope slow(20);
  for (const bool bf16 : {false, true}) {
    const auto want = trained(c, kCpu, mode, bf16), got = trained(c, kFake, mode, bf16);
    EXPECT_EQ(got[0], want[0]) << (bf16 ? "bf16" : "fp32");
    EXPECT_TRUE(got == want) << (bf16 ? "bf16" : "fp32");
  }
  synchronize(kFake);
}

INSTANTIATE_TEST_SUITE_P(Device, Training,
                         testing::Combine(testing::ValuesIn(kCases),
                                          testing::Values(nn::Mode::kEager, nn::Mode::kGraph)),
                         [](const auto& info) {
                           return cat(
                               std::get<0>(info.param).name,
                               std::get<1>(info.param) == nn::Mode::kGraph ? "Graph" : "Eager");
                         });

struct CopyRun {
  std::vector<std::vector<float>> values;  // losses, then parameters
  int kernels = 0, casts_of_states = 0, copies = 0, clones = 0;
};

// Steps in low precision; between them somebody else writes a parameter, and one step overflows.
CopyRun run_with_copies(Device device, DType low, const char* off) {
  set_seed(7);
  const nn::CellPtr net = kCases[2].net();
  net->to(device);
  auto opt = std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
  nn::StepOptions options{.mode = nn::Mode::kGraph, .amp = low, .passes_off = off};
  if (low == DType::kF16) options.loss_scaler = std::make_shared<nn::optim::LossScaler>();
  nn::TrainStep step(net, nn::CrossEntropyLoss(), opt, options);
  CopyRun r;
  r.values.resize(1);
  const Tensor y = Tensor::from<int64_t>({1, 3}, {2});
  for (uint64_t i = 0; i < 6; ++i) {
    Tensor x = ops::random_normal(Tensor::from<uint64_t>({i}, {1}), {.shape = kCases[2].batch});
    if (i == 4 && low == DType::kF16) x = x * 1e30;
    r.values[0].push_back(step(x, y).loss.item<float>());
    const nn::ParameterPtr p = net->parameters()[0];
    if (i == 1 || i == 2) p->set_value(p->value() * 0.5);
  }
  for (const nn::ParameterPtr& p : net->parameters()) {
    r.values.push_back(p->value().to_vector<float>());
  }
  const graph::Program& program = step.compiled()->session().program();
  const graph::Graph& g = *program.graph;
  for (const graph::StateSlot& s : g.states) r.copies += s.copy_of != graph::kNone;
  for (const graph::Step& s : program.steps) {
    r.clones += s.node == graph::kNone;
    if (s.node == graph::kNone || g.nodes[s.node].op != &ops::kCast) continue;
    const graph::ValueId v = g.nodes[s.node].inputs[0];
    r.casts_of_states += g.values[v].kind == graph::ValueKind::kState;
  }
  r.kernels = static_cast<int>(program.steps.size());
  return r;
}

// NaN of an overflow counts as equal.
void expect_same_bits(const CopyRun& a, const CopyRun& b) {
  ASSERT_EQ(a.values.size(), b.values.size());
  for (size_t i = 0; i < a.values.size(); ++i) {
    ASSERT_EQ(a.values[i].size(), b.values[i].size());
    EXPECT_EQ(std::memcmp(a.values[i].data(), b.values[i].data(), 4 * a.values[i].size()), 0) << i;
  }
}

TEST(Training, UpdatesWriteTheCastWeights) {
  for (const DType low : {DType::kBF16, DType::kF16}) {
    SCOPED_TRACE(dtype_name(low));
    const CopyRun with = run_with_copies(kFake, low, "");
    const CopyRun without = run_with_copies(kFake, low, "keep_copies");
    const CopyRun cpu = run_with_copies(kCpu, low, "");
    EXPECT_EQ(with.casts_of_states, 0);
    EXPECT_GT(with.copies, 10);
    EXPECT_EQ(without.copies, 0);
    EXPECT_EQ(cpu.copies, 0);
    // No kernel beside those of the updates that are there anyway.
    EXPECT_EQ(without.kernels - with.kernels, without.casts_of_states);
    EXPECT_EQ(with.clones, without.clones);
    expect_same_bits(with, without);
    expect_same_bits(with, cpu);
  }
  synchronize(kFake);
}

// Memory of a step goes back: nothing grows.
TEST(Training, KeepsMemoryFlat) {
  set_seed(1);
  const nn::CellPtr net = kCases[0].net();
  net->to(kFake);
  auto opt = std::make_shared<nn::optim::AdamW>(net->parameters(), nn::optim::AdamWOptions{});
  nn::TrainStep step(net, nn::CrossEntropyLoss(), opt, {.mode = nn::Mode::kGraph});
  const Tensor x = ops::random_normal({.shape = kCases[0].batch});
  const Tensor y = Tensor::zeros({8}, DType::kI64);
  int64_t reserved = 0;
  for (int i = 0; i < 60; ++i) {
    (void)step(x, y).loss.item();
    const MemoryStats s = allocator(kFake).stats();
    if (i == 10) reserved = s.live_bytes + s.cached_bytes;
    if (i > 10) {
      ASSERT_EQ(s.live_bytes + s.cached_bytes, reserved) << i;
    }
  }
}

TEST(Calls, NumbersOfTheHostFollowTheDevice) {
  const Tensor x = Tensor::from<float>({1, 2, 3}, {3}).to(kFake);
  const Tensor y = x * Tensor::scalar(2.0, DType::kF32);
  EXPECT_EQ(y.device(), kFake);
  EXPECT_EQ(y.to_vector<float>(), (std::vector<float>{2, 4, 6}));
  EXPECT_RUTILE_ERROR(x + Tensor::from<float>({1, 2, 3}, {3}), kValue,
                      "inputs are on different devices");
}

TEST(Calls, DeviceInForce) {
  const DeviceScope scope(kFake);
  EXPECT_EQ(ops::full({2, 2}, 3).device(), kFake);
  EXPECT_EQ(ops::random_normal({.shape = {4}}).device(), kFake);
  const Tensor sum = ops::full({3}, 3) + Tensor::from<float>({1, 2, 3}, {3});
  EXPECT_EQ(sum.device(), kFake);
  EXPECT_EQ(sum.to_vector<float>(), (std::vector<float>{4, 5, 6}));
}

TEST(Calls, LikeATensorIsWhereItIs) {
  const Tensor x = Tensor::full({3}, 2.0).to(kFake);
  EXPECT_EQ(ops::zeros_like(x).device(), kFake);
  EXPECT_EQ(ops::ones_like(x).device(), kFake);
  graph::Compiled f = graph::compile([](const std::vector<Tensor>& in) {
    const std::vector<Tensor> sums = ops::fori_loop(
        1, 4, [&](const Tensor& i, auto& c) { return std::vector<Tensor>{c[0] + in[0] * i}; },
        {ops::zeros_like(in[0])});
    return std::vector<Tensor>{sums[0] + ops::ones_like(in[0])};
  });
  EXPECT_EQ(f({x})[0].to_vector<float>()[2], 13);
}

TEST(Calls, TheGeneratorGoesOnElsewhere) {
  set_seed(3);
  std::vector<std::vector<float>> want, got;
  for (int i = 0; i < 4; ++i) want.push_back(ops::random_normal({.shape = {4}}).to_vector<float>());
  set_seed(3);
  for (int i = 0; i < 4; ++i) {
    const DeviceScope scope(i % 2 ? kFake : kCpu);
    got.push_back(ops::random_normal({.shape = {4}}).to_vector<float>());
  }
  EXPECT_EQ(got, want);
}

// Plans are those of the settings that they were made under.
TEST(Calls, SettingsBelongToPlans) {
  const Tensor x = Tensor::from<float>({1, 2, 3}, {3}).to(kFake);
  const auto misses = [&] {
    (void)(x + x);
    const int64_t before = plan_cache_stats().misses;
    (void)(x + x);
    return plan_cache_stats().misses - before;
  };
  EXPECT_EQ(misses(), 0);
  const DeviceSettings first = device_settings();
  for (const DeviceSettings s :
       {DeviceSettings{.tf32_matmul = true}, DeviceSettings{.tf32_conv = true, .autotune = true}}) {
    const int64_t before = plan_cache_stats().misses;
    set_device_settings(s);
    EXPECT_EQ(device_settings(), s);
    (void)(x + x);
    EXPECT_EQ(plan_cache_stats().misses, before + 1);
    EXPECT_EQ(misses(), 0);
  }
  set_device_settings(first);
}

// A kernel's error comes when somebody waits; with RUTILE_LOG=sync at the call, which it names.
TEST(Calls, AsynchronousErrors) {
  const Tensor x = Tensor::from<float>({1, 2, 3}, {3}).to(kFake);
  const Tensor at = Tensor::from<int64_t>({7}, {1}).to(kFake);
  EXPECT_NO_THROW((void)ops::gather(x, at, 0));
  EXPECT_RUTILE_ERROR(synchronize(kFake), kIndex, "queued by gather");
  EXPECT_NO_THROW(synchronize(kFake));
  // Nor does somebody else's waiting lose it.
  DeviceAllocator& memory = device_runtime(kFake).memory();
  const Tensor y = ops::gather(x, at, 0);
  memory.deallocate(memory.allocate(32 << 20), 0);
  memory.empty_cache();
  EXPECT_RUTILE_ERROR((void)y.to_vector<float>(), kIndex, "queued by gather");
  EXPECT_NO_THROW(synchronize(kFake));
  set_log_topics("sync");
  EXPECT_RUTILE_ERROR((void)ops::gather(x, at, 0), kIndex, "[gather]");
  set_log_topics("");
  // The Cell is named, too.
  const CellScope cell{"table", nullptr};
  const CellScope* const before = std::exchange(call_modes().cell, &cell);
  EXPECT_NO_THROW((void)ops::gather(x, at, 0));
  call_modes().cell = before;
  EXPECT_RUTILE_ERROR(synchronize(kFake), kIndex, "queued by gather in Cell table");
}

}  // namespace
}  // namespace rutile

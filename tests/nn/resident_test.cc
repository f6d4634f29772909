// SPDX-License-Identifier: Apache-2.0
// States that compiled steps keep in the layouts of their kernels: the same numbers as eager
// execution, whoever reads and writes between the steps.
#include <gtest/gtest.h>

#include <algorithm>

#include "rutile/kernels/cpu/isa.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/models/resnet.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/view.h"

namespace rutile::nn {
namespace {

#if RUTILE_ONEDNN
constexpr bool kBlockedConvolutions = true;
#else
constexpr bool kBlockedConvolutions = false;
#endif

// 37 channels: a layout that pads them; 32: one that does not.
CellPtr small_net(int64_t channels) {
  auto net = make<Sequential>();
  net->append(make<Conv2d>(16, channels, 3, Conv2dOptions{.pad = {1, 1}, .bias = false}));
  net->append(make<BatchNorm2d>(channels));
  net->append(make<ReLU>());
  net->append(make<Conv2d>(channels, 16, 1));
  net->append(make<GlobalAvgPool>());
  net->append(make<Flatten>());
  return net;
}

struct Training {
  CellPtr net;
  std::shared_ptr<optim::Optimizer> opt;
  std::unique_ptr<TrainStep> step;
  Tensor x, y;

  Training(int64_t channels, const StepOptions& options) {
    set_seed(3);
    net = small_net(channels);
    opt = std::make_shared<optim::Adam>(net->parameters(), optim::AdamOptions{.lr = 0.01});
    step = std::make_unique<TrainStep>(net, CrossEntropyLoss{}, opt, options);
    x = ops::random_normal({.shape = {4, 16, 8, 8}});
    y = ops::random_randint({.shape = {4}, .high = 16});
  }
  double operator()() { return (*step)(x, y).loss.item(); }
  Parameter& weight() { return *net->parameters().front(); }
};

void expect_close(const Tensor& a, const Tensor& b) {
  const auto u = a.to_vector<float>(), v = b.to_vector<float>();
  ASSERT_EQ(u.size(), v.size());
  for (size_t i = 0; i < u.size(); ++i) ASSERT_NEAR(u[i], v[i], 1e-4) << i;
}

bool has_blocked_state(TrainStep& step) {
  const graph::Graph& g = *step.compiled()->session().program().graph;
  return std::any_of(g.states.begin(), g.states.end(),
                     [&](const graph::StateSlot& s) { return g.meta(s.in).layout != kStrided; });
}

class ResidentStates : public testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Channels, ResidentStates, testing::Values(32, 37));

TEST_P(ResidentStates, ReadsAndWritesBetweenSteps) {
  Training graph(GetParam(), {.mode = Mode::kGraph}), eager(GetParam(), {.mode = Mode::kEager});
  Tensor kept;
  for (int i = 0; i < 6; ++i) {
    EXPECT_NEAR(graph(), eager(), 1e-4) << i;
    if (i == 1) kept = graph.weight().read();  // outlives the coming steps
    if (i == 2) {
      for (Training* t : {&graph, &eager}) t->weight().set_value(t->weight().read() * 0.5);
    }
    if (i == 3) {
      EvalStep a(graph.net, {.mode = Mode::kGraph}), b(eager.net, {.mode = Mode::kEager});
      expect_close(a(graph.x), b(eager.x));
      expect_close(a(graph.x), b(eager.x));
    }
    if (i == 4) {
      StateDict saved;
      for (const auto& [name, state] : graph.step->named_states()) saved[name] = state->concrete();
      graph();
      graph.step->load_states(saved);
    }
  }
  EXPECT_EQ(has_blocked_state(*graph.step), kBlockedConvolutions && GetParam() == 32);
  const auto a = graph.net->parameters(), b = eager.net->parameters();
  for (size_t i = 0; i < a.size(); ++i) expect_close(a[i]->value(), b[i]->value());
  Training again(GetParam(), {.mode = Mode::kEager});
  again(), again();
  expect_close(kept, again.weight().value());
}

TEST(Resident, AStateIsOneValueInTwoPlacements) {
  State s("w", ops::random_normal({.shape = {32, 16, 3, 3}}));
  const Tensor before = s.read();
  const std::vector<float> want = before.to_vector<float>();
  const auto data = [](const Tensor& t) { return static_cast<float*>(t.impl()->data); };
  Placement p;
  ASSERT_TRUE(parse_placement("ABcd16b16a", &p));
  const Tensor reader = s.elements(p, false);
  EXPECT_EQ(s.concrete().impl(), before.impl());
  Tensor packed = s.elements(p, true);
  data(packed)[0] += 1;  // element [0, 0, 0, 0] lies first in both
  s.read();              // in the middle of the step: half written at best
  data(packed)[0] += 1;
  s.wrote(std::move(packed));
  const std::vector<float> now = s.read().to_vector<float>();
  EXPECT_FLOAT_EQ(now[0], want[0] + 2);
  EXPECT_TRUE(std::equal(now.begin() + 1, now.end(), want.begin() + 1));
  EXPECT_EQ(before.to_vector<float>(), want);
  EXPECT_EQ(data(reader)[0], want[0]);
  s.write(before);
  EXPECT_EQ(data(s.elements(p, false))[0], want[0]);
  Tensor plain = s.elements(Placement(), true);
  data(plain)[1] = 5;
  s.wrote(std::move(plain));
  EXPECT_EQ(before.to_vector<float>(), want);
  EXPECT_EQ(data(s.elements(p, false))[256], 5);  // blocks of 16 x 16 by c, d
}

#if RUTILE_ONEDNN
struct Reorders {
  int weights = 0, images = 0, casts = 0;  // casts of weights
};

Reorders reorders_of_resnet50(OptionalDType amp) {
  auto net = models::resnet50({.classes = 10});
  auto opt = std::make_shared<optim::Momentum>(net->parameters());
  StepOptions options;
  options.amp = amp;
  TrainStep step(net, CrossEntropyLoss{}, opt, options);
  step.prepare(TensorMeta({2, 3, 64, 64}, DType::kF32), TensorMeta({2}, DType::kI64));
  const graph::Graph& g = *step.compiled()->session().program().graph;
  Reorders r;
  for (graph::NodeId id : g.order) {
    const graph::Node& n = g.nodes[id];
    if (n.inputs.empty() || n.inputs[0] == graph::kNone) continue;
    const TensorMeta& x = g.meta(n.inputs[0]);
    const bool image = x.rank() == 4 && x.dim(0) == 2;
    if (n.op == &ops::kReorder) (image ? r.images : r.weights)++;
    if (n.op == &ops::kCast && x.rank() == 4 && !image) ++r.casts;
  }
  return r;
}

// ResNet-50: weights and the optimizer's slots stay packed. What is left to reorder in a step are
// the weights of the gradients of the inputs, and the image; in mixed precision also the weights of
// the convolutions, cast on the way.
TEST(Resident, ReordersOfAStepOfResNet50) {
  const Reorders f32 = reorders_of_resnet50({}), bf16 = reorders_of_resnet50({DType::kBF16});
  const bool avx512 = kernels::isa() == kernels::Isa::kAvx512;
  EXPECT_LE(f32.weights, avx512 ? 52 : 54);
  EXPECT_LE(f32.images, 8);
  EXPECT_EQ(f32.casts, 0);
  if (!avx512) return;                   // AVX2 has no convolutions in bf16
  EXPECT_LE(bf16.weights, 52 + 53 + 1);  // and with AMX the first convolution's gradient
  EXPECT_LE(bf16.images, 8);
  EXPECT_LE(bf16.casts, 1);  // the first convolution's
}
#endif

}  // namespace
}  // namespace rutile::nn

// SPDX-License-Identifier: Apache-2.0
// Unscaling and clipping happen while the update reads the gradients.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "rutile/autograd/tape.h"
#include "rutile/graph/exec/session.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"

namespace rutile::nn {
namespace {

struct Training {
  Ptr<models::Mlp> net;
  std::shared_ptr<optim::AdamW> optimizer;
  std::shared_ptr<optim::LossScaler> scaler;
};

Training make_training() {
  set_seed(3);
  Training s;
  s.net = make<models::Mlp>();
  s.optimizer = std::make_shared<optim::AdamW>(s.net->parameters(), optim::AdamWOptions{});
  s.scaler = std::make_shared<optim::LossScaler>(optim::LossScalerOptions{.initial = 1024});
  return s;
}

Tensor images() {
  ops::RandomNormalAttrs a;
  a.shape = {8, 784};
  return ops::random_normal(a);
}
Tensor labels() { return ops::remainder(ops::arange(0, 8), 10); }

// How often each op runs in a compiled step.
std::map<std::string, int> kernels(TrainStep& step) {
  step.prepare(TensorMeta({8, 784}, DType::kF32), TensorMeta({8}, DType::kI64));
  std::map<std::string, int> count;
  const graph::Program& p = step.compiled()->session().program();
  for (const graph::Step& s : p.steps) {
    if (s.node != graph::kNone) ++count[p.graph->nodes[s.node].op->name];
  }
  return count;
}

int total(const std::map<std::string, int>& count) {
  int n = 0;
  for (const auto& [name, k] : count) n += k;
  return n;
}

TEST(GradScale, ClippingAndScalingReadTheGradientsOnce) {
  Training plain = make_training(), scaled = make_training();
  TrainStep one(plain.net, CrossEntropyLoss(), plain.optimizer);
  StepOptions options;
  options.clip_norm = 0.5;
  options.loss_scaler = scaled.scaler;
  TrainStep two(scaled.net, CrossEntropyLoss(), scaled.optimizer, options);
  const auto before = kernels(one), after = kernels(two);
  EXPECT_EQ(after.at("global_norm"), 1);
  EXPECT_EQ(after.count("unscale_and_check"), 0u);
  EXPECT_EQ(after.at("adamw_multi"), before.at("adamw_multi"));
  // The norm, the scale's update, the loss times the scale, and scalars between them.
  EXPECT_LE(total(after) - total(before), 8);
  const graph::Graph& g = *two.compiled()->session().program().graph;
  for (const graph::NodeId id : g.order) {
    const graph::Node& n = g.nodes[id];
    if (n.phase != graph::Phase::kOptimizer || n.op->mutate_mask) continue;
    for (const graph::ValueId v : n.outputs) EXPECT_LE(g.meta(v).numel(), 1) << n.op->name;
  }
}

// One product is rounded instead of two: 1 / scale and the clipping factor are joined first.
TEST(GradScale, GivesWhatUnscalingAndClippingGive) {
  for (const Mode mode : {Mode::kEager, Mode::kGraph}) {
    Training a = make_training(), b = make_training();
    StepOptions options;
    options.mode = mode;
    options.clip_norm = 0.5;
    options.loss_scaler = a.scaler;
    TrainStep step(a.net, CrossEntropyLoss(), a.optimizer, options);
    for (int i = 0; i < 3; ++i) {
      set_seed(static_cast<uint64_t>(10 + i));
      const Tensor x = images(), y = labels();
      step(x, y);
      std::vector<Tensor> grads;
      {
        GradScope scope;
        std::vector<Tensor> watched;
        for (const ParameterPtr& p : b.optimizer->parameters()) {
          watched.push_back(p->read());
          scope.watch(watched.back());
        }
        const Tensor loss = CrossEntropyLoss()(b.net(x), y);
        grads = scope.gradient(b.scaler->scale(loss), watched);
      }
      const Tensor skip = b.scaler->unscale(&grads);
      const double norm = optim::clip_by_global_norm(&grads, 0.5).item();
      EXPECT_GT(norm, 0.5);
      b.optimizer->step(grads, skip);
      b.scaler->update(skip);
    }
    const auto want = b.optimizer->parameters(), got = a.optimizer->parameters();
    for (size_t i = 0; i < want.size(); ++i) {
      const auto w = want[i]->value().to_vector<float>(), g = got[i]->value().to_vector<float>();
      // An element whose gradient is tiny moves by about lr whatever rounding did to it.
      for (size_t k = 0; k < w.size(); ++k) ASSERT_NEAR(g[k], w[k], 2e-5) << want[i]->name();
    }
  }
}

TEST(GradScale, OverflowSkipsTheStep) {
  auto p = std::make_shared<Parameter>("p", ops::full({3}, 1.0));
  optim::SGD optimizer({p}, {.lr = 1});
  optim::LossScaler scaler({.initial = 4});
  const Tensor bad = Tensor::from<float>({1, INFINITY, 1}, {3}), good = ops::full({3}, 4.0);
  for (const Tensor& g : {bad, good}) {
    const optim::Prepared r = optim::prepare({&g, 1}, &scaler, 100);
    optimizer.step({&g, 1}, r.skip, r.grad_scale);
    scaler.update(r.skip);
  }
  EXPECT_EQ(scaler.value(), 2);
  EXPECT_EQ(p->value().to_vector<float>()[0], -1.0f);  // 4 / 2, of the second gradient only
}

TEST(GradScale, NothingToDoIsNothing) {
  const Tensor g = ops::full({3}, 1.0);
  const optim::Prepared r = optim::prepare({&g, 1}, nullptr, 0);
  EXPECT_FALSE(r.skip.defined() || r.grad_scale.defined() || r.norm.defined());
  const optim::Prepared clipped = optim::prepare({&g, 1}, nullptr, 0.5);
  EXPECT_FALSE(clipped.skip.defined());
  EXPECT_NEAR(clipped.norm.item(), std::sqrt(3.0), 1e-6);
  EXPECT_NEAR(clipped.grad_scale.item(), 0.5 / std::sqrt(3.0), 1e-6);
}

}  // namespace
}  // namespace rutile::nn

// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/gradients.h"

#include <gmock/gmock.h>

#include <cmath>

#include "rutile/graph/compile.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/train_step.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/index.h"
#include "rutile/ops/random.h"
#include "rutile/ops/view.h"
#include "rutile/tests/support/expect_error.h"

namespace rutile::nn::optim {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;

Tensor f64(std::initializer_list<double> v, const Shape& s) { return Tensor::from<double>(v, s); }

TEST(Gradients, ClipByValue) {
  std::vector<Tensor> g{f64({-3, 0.5, 2}, {3}), Tensor()};
  clip_by_value(&g, 1);
  EXPECT_THAT(g[0].to_vector<double>(), ElementsAre(-1, 0.5, 1));
  EXPECT_FALSE(g[1].defined());
  EXPECT_RUTILE_ERROR(clip_by_value(&g, 0), kValue, "limit must be positive");
}

TEST(Gradients, ClipByNormTakesEachByItself) {
  std::vector<Tensor> g{f64({3, 4}, {2}), f64({0.3, 0.4}, {2}), Tensor()};
  clip_by_norm(&g, 1);
  EXPECT_THAT(g[0].to_vector<double>(), ElementsAre(DoubleNear(0.6, 1e-6), DoubleNear(0.8, 1e-6)));
  EXPECT_THAT(g[1].to_vector<double>(),
              ElementsAre(DoubleNear(0.3, 1e-12), DoubleNear(0.4, 1e-12)));
  EXPECT_RUTILE_ERROR(clip_by_norm(&g, -1), kValue, "max_norm must be positive");
}

TEST(Gradients, CentralizeLeavesVectorsAlone) {
  std::vector<Tensor> g{f64({1, 3, 5, 5, 6, 7}, {2, 3}), f64({1, 3}, {2})};
  centralize(&g);
  EXPECT_THAT(g[0].to_vector<double>(), ElementsAre(-2, 0, 2, -1, 0, 1));
  EXPECT_THAT(g[1].to_vector<double>(), ElementsAre(1, 3));
}

ParameterPtr make_parameter(double v) {
  return std::make_shared<Parameter>("p", ops::full({3}, v, DType::kF64));
}

TEST(EMA, FollowsTheParameters) {
  ParameterPtr p = make_parameter(1);
  EMA ema({p}, {.decay = 0.9});
  double want = 1;
  for (int i = 1; i <= 3; ++i) {
    p->set_value(ops::full({3}, 1.0 + i, DType::kF64));
    ema.update();
    want = 0.9 * want + 0.1 * (1 + i);
  }
  ema.update(Tensor::scalar(true, DType::kBool));
  {
    EMAScope averaged(ema);
    EXPECT_NEAR(p->value().to_vector<double>()[2], want, 1e-14);
  }
  EXPECT_EQ(p->value().to_vector<double>()[0], 4);
  EXPECT_EQ(ema.named_states()[0].first, "ema.p");
  EXPECT_EQ(ema.named_states()[1].second->concrete().item<int64_t>(), 3);
}

TEST(EMA, WarmsUp) {
  ParameterPtr p = make_parameter(0);
  EMA ema({p}, {.decay = 0.999, .warm_up = true});
  p->set_value(ops::full({3}, 1.0, DType::kF64));
  ema.update();
  EMAScope averaged(ema);
  EXPECT_NEAR(p->value().to_vector<double>()[0], 1 - 2.0 / 11, 1e-14);
}

TEST(EMA, RefusesNonsense) {
  EXPECT_RUTILE_ERROR(EMA({make_parameter(1)}, {.decay = 1.5}), kValue, "in [0, 1]");
  EXPECT_RUTILE_ERROR(EMA({nullptr}), kValue, "null parameter");
}

// ---- In the training step -----------------------------------------------------------------------

CellPtr small_net() {
  set_seed(5);
  auto net = make<Sequential>();
  net->append(make<Linear>(6, 16));
  net->append(make<GELU>());
  net->append(make<Linear>(16, 3));
  return net;
}

struct Batch {
  Tensor x, y;
};
Batch batch(int64_t n, int seed) {
  std::vector<float> x(static_cast<size_t>(n * 6));
  std::vector<int64_t> y(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i * 7) + seed);
  for (size_t i = 0; i < y.size(); ++i) y[i] = static_cast<int64_t>(i + seed) % 3;
  return {Tensor::from<float>(x, {n, 6}), Tensor::from<int64_t>(y, {n})};
}

struct Training {
  CellPtr net;
  std::shared_ptr<Optimizer> optimizer;
  std::unique_ptr<TrainStep> step;
};
Training training(StepOptions options) {
  Training t;
  t.net = small_net();
  t.optimizer = std::make_shared<AdamW>(t.net->parameters(), AdamWOptions{.lr = 0.01});
  t.step = std::make_unique<TrainStep>(t.net, CrossEntropyLoss(), t.optimizer, options);
  return t;
}

void expect_near(const Cell& a, const Cell& b, double tolerance) {
  const auto p = a.parameters(), q = b.parameters();
  for (size_t i = 0; i < p.size(); ++i) {
    const auto v = p[i]->value().to_vector<float>(), w = q[i]->value().to_vector<float>();
    for (size_t k = 0; k < v.size(); ++k) ASSERT_NEAR(v[k], w[k], tolerance) << p[i]->name();
  }
}

TEST(Accumulation, PartsMakeOneLargeBatch) {
  for (const Mode mode : {Mode::kEager, Mode::kGraph}) {
    StepOptions whole{.mode = mode, .clip_norm = 0.1};
    StepOptions parts = whole;
    parts.accumulate = 3;
    Training a = training(whole), b = training(parts);
    for (int step = 0; step < 4; ++step) {
      const Batch all = batch(12, step);
      (*a.step)(all.x, all.y);
      for (int64_t k = 0; k < 3; ++k) {
        EXPECT_EQ(b.optimizer->steps(), step);
        (*b.step)(ops::slice(all.x, {4 * k}, {4 * k + 4}), ops::slice(all.y, {4 * k}, {4 * k + 4}));
      }
      EXPECT_EQ(b.optimizer->steps(), step + 1);
    }
    expect_near(*a.net, *b.net, 2e-5);
    EXPECT_TRUE(mode == Mode::kEager || b.step->compiled()->compilations() == 3);
  }
}

TEST(Accumulation, GraphIsEagerAndResumesBetweenBatches) {
  StepOptions options{.mode = Mode::kEager, .accumulate = 2};
  Training a = training(options);
  options.mode = Mode::kGraph;
  options.loss_scaler = std::make_shared<LossScaler>(LossScalerOptions{.initial = 1});
  Training b = training(options), c = training(options);
  for (int i = 0; i < 3; ++i) {
    const Batch part = batch(4, i);
    (*a.step)(part.x, part.y);
    (*b.step)(part.x, part.y);
  }
  StateDict saved;
  for (const auto& [name, state] : b.step->named_states()) saved[name] = state->concrete();
  EXPECT_EQ(saved.at("accumulated.batches").item<int64_t>(), 1);
  c.step->load_states(saved);
  const Batch last = batch(4, 9);
  for (Training* t : {&a, &b, &c}) (*t->step)(last.x, last.y);
  EXPECT_EQ(c.optimizer->steps(), 2);
  expect_near(*a.net, *b.net, 1e-6);
  expect_near(*b.net, *c.net, 0);
}

TEST(Accumulation, RefusesNonsense) {
  EXPECT_RUTILE_ERROR(training({.accumulate = 0}), kValue, "accumulate expects at least 1");
}

TEST(TrainStepTools, AveragesAndCentralizesInBothModes) {
  CellPtr nets[2];
  for (const Mode mode : {Mode::kEager, Mode::kGraph}) {
    CellPtr net = small_net();
    auto ema = std::make_shared<EMA>(net->parameters(), EMAOptions{.decay = 0.5});
    auto optimizer = std::make_shared<SGD>(net->parameters(), SGDOptions{.lr = 0.5});
    TrainStep step(net, CrossEntropyLoss(), optimizer,
                   {.mode = mode, .centralize = true, .ema = ema});
    const auto start = net->state_dict();
    const Batch b = batch(4, 1);
    for (int i = 0; i < 2; ++i) step(b.x, b.y);
    if (step.compiled()) {
      int updates = 0;
      const graph::Graph& g = *step.compiled()->session().program().graph;
      for (const graph::NodeId id : g.order) {
        EXPECT_STRNE(g.nodes[id].op->name, "sgd");
        updates += std::string(g.nodes[id].op->name) == "sgd_multi";
      }
      EXPECT_EQ(updates, 2);  // the parameters and their averages
    }
    // Rows of a centralized gradient sum to zero, and so does what they moved.
    const auto before = start.at("0.weight").to_vector<float>(),
               after = net->state_dict().at("0.weight").to_vector<float>();
    double moved = 0, size = 0;
    for (size_t i = 0; i < 6; ++i) {
      moved += after[i] - before[i];
      size += std::abs(after[i] - before[i]);
    }
    EXPECT_NEAR(moved, 0, 1e-6);
    EXPECT_GT(size, 1e-4);
    ema->swap();
    nets[static_cast<size_t>(mode)] = net;
  }
  expect_near(*nets[0], *nets[1], 1e-6);
}

}  // namespace
}  // namespace rutile::nn::optim

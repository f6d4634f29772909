// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/train_step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "rutile/nn/layers.h"
#include "rutile/nn/losses.h"
#include "rutile/nn/models/mlp.h"
#include "rutile/ops/elementwise.h"
#include "rutile/ops/random.h"
#include "rutile/ops/tensor_ops.h"

namespace rutile::nn {
namespace {

using testing::Contains;
using testing::HasSubstr;

CellPtr small_net(double dropout = 0) {
  auto net = make<Sequential>();
  net->append(make<Linear>(6, 16));
  net->append(make<ReLU>());
  if (dropout > 0) net->append(make<Dropout>(dropout));
  net->append(make<LayerNorm>(16));
  net->append(make<Linear>(16, 3));
  return net;
}

struct Batch {
  Tensor x, y;
};
Batch batch(int step) {
  std::vector<float> x(8 * 6);
  std::vector<int64_t> y(8);
  for (int i = 0; i < 8; ++i) {
    y[i] = (i + step) % 3;
    for (int k = 0; k < 6; ++k) {
      x[i * 6 + k] = static_cast<float>(std::sin(i * 6 + k + step) + (k % 3 == y[i] ? 1 : 0));
    }
  }
  return {Tensor::from<float>(x, {8, 6}), Tensor::from<int64_t>(y, {8})};
}

struct History {
  std::vector<double> losses;
  std::vector<std::vector<float>> parameters;
  bool operator==(const History&) const = default;
};

History train(const StepOptions& options, int steps, double dropout = 0) {
  set_seed(7);
  CellPtr net = small_net(dropout);
  auto opt =
      std::make_shared<optim::AdamW>(optim::decay_groups(*net), optim::AdamWOptions{.lr = 0.02});
  opt->set_schedule(optim::cosine(0.02, 0.001, steps));
  TrainStep step(net, CrossEntropyLoss{}, opt, options);
  History run;
  for (int i = 0; i < steps; ++i) {
    const Batch b = batch(i);
    run.losses.push_back(step(b.x, b.y).loss.item());
  }
  for (const ParameterPtr& p : net->parameters()) {
    run.parameters.push_back(p->value().to_vector<float>());
  }
  EXPECT_TRUE(!step.compiled() || step.compiled()->compilations() == 1);
  return run;
}

TEST(TrainStep, Learns) {
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    const History run = train({.mode = mode}, 60);
    EXPECT_LT(run.losses.back(), 0.3 * run.losses.front());
  }
}

TEST(TrainStep, GraphIsEagerBitForBit) {
  const History eager = train({.mode = Mode::kEager}, 5);
  EXPECT_EQ(eager, train({.mode = Mode::kGraph, .passes_off = "all"}, 5));
  const History optimised = train({.mode = Mode::kGraph}, 5);
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(optimised.losses[i], eager.losses[i], 1e-5);
}

TEST(TrainStep, DropoutDrawsTheSameNumbersInBothModes) {
  const History eager = train({.mode = Mode::kEager}, 5, 0.4);
  EXPECT_EQ(eager, train({.mode = Mode::kGraph, .passes_off = "all"}, 5, 0.4));
  EXPECT_NE(eager.losses, train({.mode = Mode::kEager}, 5).losses);
}

TEST(TrainStep, SameSeedSameBits) {
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    EXPECT_EQ(train({.mode = mode}, 4, 0.4), train({.mode = mode}, 4, 0.4));
  }
}

TEST(TrainStep, MixedPrecisionStaysNear) {
  const History full = train({.mode = Mode::kEager}, 20);
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    const History mixed = train({.mode = mode, .amp = DType::kBF16}, 20);
    EXPECT_NE(mixed.losses, full.losses);
    for (int i = 0; i < 20; ++i) EXPECT_NEAR(mixed.losses[i], full.losses[i], 0.05);
  }
}

TEST(TrainStep, HalfPrecisionWithLossScale) {
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    auto scaler = std::make_shared<optim::LossScaler>(
        optim::LossScalerOptions{.initial = 1e30, .interval = 1000});
    const History run = train({.mode = mode, .amp = DType::kF16, .loss_scaler = scaler}, 150);
    EXPECT_LT(scaler->value(), 1e30);  // the first steps overflowed and were skipped
    EXPECT_GT(scaler->value(), 1);
    EXPECT_EQ(run.losses[0], run.losses[0]);
    EXPECT_LT(run.losses.back(), 0.3 * run.losses.front());
  }
}

TEST(TrainStep, AlternatingWithEvaluationCompilesEachOnce) {
  CellPtr net = small_net(0.5);
  auto opt = std::make_shared<optim::SGD>(net->parameters());
  TrainStep step(net, CrossEntropyLoss{}, opt);
  EvalStep eval(net);
  const Batch b = batch(0);
  for (int i = 0; i < 3; ++i) {
    step(b.x, b.y);
    eval(b.x);
  }
  EXPECT_EQ(step.compiled()->compilations(), 1);
  EXPECT_EQ(eval.compiled()->compilations(), 1);
  EXPECT_GT(step.report()->kernels, 0);
  // The evaluation sees the trained parameters and no dropout.
  EvalStep eager(net, {.mode = Mode::kEager});
  EXPECT_EQ(eval(b.x).to_vector<float>(), eager(b.x).to_vector<float>());
  EXPECT_TRUE(net->training());
}

TEST(TrainStep, FrozenParametersStay) {
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    auto net = make<Sequential>();
    net->append(make<Linear>(6, 4));
    net->append(make<Linear>(4, 3));
    auto opt = std::make_shared<optim::SGD>(net->parameters(), optim::SGDOptions{.lr = 0.1});
    TrainStep step(net, CrossEntropyLoss{}, opt, {.mode = mode});
    const Batch b = batch(0);
    step(b.x, b.y);
    (*net)[0].freeze();
    const auto frozen = net->parameters()[0]->value().to_vector<float>();
    const auto free = net->parameters()[2]->value().to_vector<float>();
    step(b.x, b.y);
    EXPECT_EQ(net->parameters()[0]->value().to_vector<float>(), frozen);
    EXPECT_NE(net->parameters()[2]->value().to_vector<float>(), free);
  }
}

TEST(TrainStep, ReturnsOutputsIfAsked) {
  CellPtr net = small_net();
  auto opt = std::make_shared<optim::SGD>(net->parameters());
  TrainStep step(net, CrossEntropyLoss{}, opt, {.outputs = true});
  const Batch b = batch(0);
  const StepResult first = step(b.x, b.y);
  EXPECT_EQ(first.outputs.shape(), (Shape{8, 3}));
  const auto kept = first.outputs.to_vector<float>();
  step(batch(1).x, b.y);
  EXPECT_EQ(first.outputs.to_vector<float>(), kept);
}

TEST(TrainStep, ClipsTheGlobalNorm) {
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    set_seed(1);
    CellPtr net = small_net();
    std::vector<std::vector<float>> before;
    for (const ParameterPtr& p : net->parameters()) {
      before.push_back(p->value().to_vector<float>());
    }
    auto opt = std::make_shared<optim::SGD>(net->parameters(), optim::SGDOptions{.lr = 1});
    TrainStep step(net, CrossEntropyLoss{}, opt, {.mode = mode, .clip_norm = 1e-2});
    const Batch b = batch(0);
    step(b.x, b.y);
    double norm = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      const auto after = net->parameters()[i]->value().to_vector<float>();
      for (size_t k = 0; k < after.size(); ++k) norm += std::pow(after[k] - before[i][k], 2);
    }
    EXPECT_NEAR(std::sqrt(norm), 1e-2, 1e-5);
  }
}

TEST(TrainStep, SavesAndLoadsAllThatTrainingChanges) {
  const auto build = [] {
    CellPtr net = small_net(0.3);
    auto opt = std::make_shared<optim::Momentum>(net->parameters());
    opt->set_schedule(optim::cosine(0.1, 0, 10));
    return std::make_unique<TrainStep>(net, CrossEntropyLoss{}, opt);
  };
  set_seed(3);
  auto whole = build();
  StateDict saved;
  std::vector<double> want;
  for (int i = 0; i < 6; ++i) {
    if (i == 3) {
      for (const auto& [name, state] : whole->named_states()) {
        saved[name] = state->concrete();
      }
    }
    const double loss = (*whole)(batch(i).x, batch(i).y).loss.item();
    if (i >= 3) want.push_back(loss);
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : saved) names.push_back(name);
  EXPECT_THAT(names, Contains("0.weight"));
  EXPECT_THAT(names, Contains("optimizer.momentum.0.weight"));
  EXPECT_THAT(names, Contains("optimizer.step"));
  EXPECT_THAT(names, Contains(HasSubstr("generator.")));

  set_seed(99);
  auto resumed = build();
  resumed->load_states(saved);
  for (int i = 3; i < 6; ++i) {
    EXPECT_EQ((*resumed)(batch(i).x, batch(i).y).loss.item(), want[i - 3]);
  }
  saved.erase("optimizer.step");
  EXPECT_THROW(resumed->load_states(saved), Error);
}

TEST(TrainStep, RefusesNonsense) {
  CellPtr net = small_net();
  auto opt = std::make_shared<optim::SGD>(net->parameters());
  EXPECT_THROW(TrainStep(nullptr, CrossEntropyLoss{}, opt), Error);
  EXPECT_THROW(TrainStep(net, nullptr, opt), Error);
  const Batch b = batch(0);
  for (Mode mode : {Mode::kEager, Mode::kGraph}) {
    TrainStep no_scalar(net, [](const Tensor& x, const Tensor&) { return x; }, opt, {.mode = mode});
    EXPECT_THROW(no_scalar(b.x, b.y), Error);
    TrainStep not_low(net, CrossEntropyLoss{}, opt, {.mode = mode, .amp = DType::kF64});
    EXPECT_THROW(not_low(b.x, b.y), Error);
    TrainStep good(net, CrossEntropyLoss{}, opt, {.mode = mode});
    try {
      good(Tensor::zeros({8, 5}), b.y);
      FAIL();
    } catch (const Error& e) {
      EXPECT_THAT(e.message(), HasSubstr("in Cell Sequential.0"));
    }
    EXPECT_NO_THROW(good(b.x, b.y));  // nothing is left behind
  }
}

// A step that fails was not taken: the schedule and a resumed run go on from the same count.
TEST(TrainStep, AStepThatFailsDoesNotCount) {
  for (const Mode mode : {Mode::kEager, Mode::kGraph}) {
    auto net = small_net();
    auto opt = std::make_shared<optim::SGD>(net->parameters(), optim::SGDOptions{1});
    opt->set_schedule(optim::linear(1, 0, 10));
    TrainStep step(net, CrossEntropyLoss{}, opt, {.mode = mode});
    const Batch b = batch(0);
    step(b.x, b.y);
    const Tensor bad = Tensor::from<int64_t>({0, 1, 2, 99, 0, 1, 2, 0}, {8});
    EXPECT_THROW(step(b.x, bad), Error);
    EXPECT_EQ(opt->steps(), 1);
    step(b.x, b.y);
    EXPECT_EQ(opt->steps(), 2);
    EXPECT_DOUBLE_EQ(opt->lr(), 0.9);
  }
}

TEST(TrainStep, AReplacedParameterNeedsANewOptimizer) {
  for (const bool rename : {false, true}) {
    auto net = small_net();
    auto opt = std::make_shared<optim::SGD>(net->parameters());
    TrainStep step(net, CrossEntropyLoss{}, opt, {.mode = Mode::kEager});
    const Batch b = batch(0);
    step(b.x, b.y);
    const auto [name, old] = net->named_parameters()[0];
    net->replace_parameter(name,
                           std::make_shared<Parameter>(rename ? "new" : old->name(), old->value()));
    try {
      step(b.x, b.y);
      FAIL();
    } catch (const Error& e) {
      EXPECT_THAT(e.message(), HasSubstr("was replaced after the optimizer was made"));
      EXPECT_THAT(e.message(), HasSubstr(name));
    }
  }
}

TEST(TrainStep, AnOptimizerMayTrainMoreThanTheNetwork) {
  auto net = small_net();
  auto scale = std::make_shared<Parameter>("scale", Tensor::scalar(1.0));
  std::vector<ParameterPtr> all = net->parameters();
  all.push_back(scale);
  const CrossEntropyLoss plain;
  TrainStep step(net, [&](const Tensor& y, const Tensor& t) { return plain(y * scale->read(), t); },
                 std::make_shared<optim::SGD>(all), {.mode = Mode::kEager});
  const Batch b = batch(0);
  step(b.x, b.y);
  EXPECT_NE(scale->value().item(), 1);
}

TEST(TrainStep, AnotherDTypeNeedsANewOptimizer) {
  auto net = small_net();
  TrainStep step(net, CrossEntropyLoss{}, std::make_shared<optim::AdamW>(net->parameters()),
                 {.mode = Mode::kEager});
  net->to(DType::kF64);
  const Batch b = batch(0);
  try {
    step(ops::cast(b.x, DType::kF64), b.y);
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.message(), HasSubstr("make the optimizer after Cell::to()"));
  }
}

// The same training, with a look at every step in between: the same losses and parameters.
TEST(TrainStep, ExplainTrainsNothing) {
  for (const bool low : {false, true}) {
    std::vector<std::vector<float>> results[2];
    for (const bool look : {false, true}) {
      set_seed(7);
      CellPtr net = small_net(0.3);
      auto opt = std::make_shared<optim::AdamW>(net->parameters(), optim::AdamWOptions{.lr = 0.02});
      opt->set_schedule(optim::cosine(0.02, 0.001, 4));
      StepOptions options;
      if (low) options.amp = DType::kBF16;
      TrainStep step(net, CrossEntropyLoss{}, opt, options);
      EvalStep eval(net, options);
      for (int i = 0; i < 4; ++i) {
        const Batch b = batch(i);
        if (look) {
          const graph::Explanation e = step.explain(b.x, b.y, {.runs = 1});
          EXPECT_EQ(e.name, "training step");
          EXPECT_GT(e.cost().flops, 2 * 8 * 6 * 16);
          EXPECT_THAT(e.text(), HasSubstr("phases    forward"));
          EXPECT_THAT(eval.explain(b.x, {.runs = 1}).text(), HasSubstr("evaluation step: "));
        }
        results[look].push_back(step(b.x, b.y).loss.to_vector<float>());
        for (const auto& [name, state] : step.named_states()) {
          if (is_floating(state->meta().dtype)) {
            results[look].push_back(ops::cast(state->concrete(), DType::kF32).to_vector<float>());
          }
        }
      }
    }
    EXPECT_EQ(results[0], results[1]) << (low ? "bf16" : "fp32");
  }
}

TEST(TrainStep, ExplainNeedsACompiledStep) {
  CellPtr net = small_net();
  auto opt = std::make_shared<optim::Momentum>(net->parameters());
  TrainStep step(net, CrossEntropyLoss{}, opt, {.mode = Mode::kEager});
  const Batch b = batch(0);
  try {
    step.explain(b.x, b.y);
    FAIL() << "nothing is compiled";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kRuntime);
    EXPECT_THAT(e.message(), HasSubstr("this one runs eagerly"));
  }
}

}  // namespace
}  // namespace rutile::nn

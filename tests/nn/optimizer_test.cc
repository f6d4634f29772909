// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/optimizer.h"
#include "rutile/kernels/cpu/isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "rutile/graph/compile.h"
#include "rutile/nn/layers.h"
#include "rutile/nn/optim/loss_scaler.h"
#include "rutile/nn/optim/rules.h"
#include "rutile/ops/arrange.h"
#include "rutile/ops/complex.h"
#include "rutile/ops/reduce.h"
#include "rutile/ops/tensor_ops.h"
#include "rutile/ops/update.h"
#include "rutile/ops/view.h"

namespace rutile::nn::optim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ParameterPtr make_parameter(std::string name = "p") {
  return std::make_shared<Parameter>(std::move(name), Tensor::from<double>({1, -2, 0.5}, {3}));
}

using Make = std::function<std::shared_ptr<Optimizer>(std::vector<ParameterPtr>)>;

// Six steps with gradients sin(i + step), as the reference numbers were made with PyTorch 2.15.
std::vector<double> trajectory(const Make& make, bool graph) {
  ParameterPtr p = make_parameter();
  std::shared_ptr<Optimizer> opt = make({p});
  graph::Compiled step = graph::compile([&](const std::vector<Tensor>& in) {
    opt->step(in);
    return std::vector<Tensor>{in[0]};
  });
  for (int t = 0; t < 6; ++t) {
    const Tensor g = Tensor::from<double>({std::sin(t), std::sin(1 + t), std::sin(2 + t)}, {3});
    opt->before_step();
    if (graph) {
      step({g});
    } else {
      opt->step({&g, 1});
    }
  }
  return p->value().to_vector<double>();
}

struct Case {
  const char* name;
  Make make;
  std::vector<double> want;
};

// What an update makes of a parameter, its slots and gradient in three steps.
std::vector<Tensor> updated(const ops::UpdateFamily& f, std::vector<Tensor> states, Tensor grad) {
  const AnyAttrs attrs(f.single->attrs, nullptr);
  std::vector<Ref<State>> held;
  std::vector<State*> pointers;
  for (const Tensor& t : states) {
    held.push_back(make_ref<State>("s", ops::add(t, 0.0)));
    pointers.push_back(held.back().get());
  }
  for (int64_t k = 1; k <= 3; ++k) {
    const Tensor rest[] = {grad, Tensor::scalar(0.1, DType::kF64), Tensor::scalar(k, DType::kI64),
                           Tensor(), Tensor::scalar(0.5, DType::kF32)};
    State::update(*f.single, attrs.get(), pointers, rest);
    grad = ops::mul(grad, 0.5);
  }
  std::vector<Tensor> after;
  for (const Ref<State>& s : held) after.push_back(s->read());
  return after;
}

TEST(Optimizer, ComplexParametersAreUpdatedAsTheirParts) {
  for (const ops::UpdateFamily& f : ops::update_families()) {
    for (const DType t : {DType::kF32, DType::kF64}) {
      std::vector<Tensor> parts, whole;
      for (int k = 0; k <= f.slots; ++k) {
        parts.push_back(ops::reshape(ops::linspace(0.5 + k, 2.0 + k, 70, t), {5, 7, 2}));
        whole.push_back(ops::view_as_complex(parts.back()));
      }
      const Tensor grad = ops::reshape(ops::linspace(-1, 1, 70, t), {5, 7, 2});
      const std::vector<Tensor> want = updated(f, parts, grad);
      const std::vector<Tensor> got = updated(f, whole, ops::view_as_complex(grad));
      for (size_t k = 0; k < want.size(); ++k) {
        EXPECT_TRUE(ops::all(ops::equal(ops::view_as_real(got[k]), want[k])).item<bool>())
            << f.single->name << " " << k;
      }
    }
  }
}

TEST(Optimizer, SlotsOfComplexParametersStartInBothParts) {
  const Tensor z = ops::view_as_complex(Tensor::from<float>({1, 2, 3, 4}, {2, 2}));
  auto p = std::make_shared<Parameter>("z", z);
  EXPECT_TRUE(p->requires_grad());
  Adagrad opt({p}, AdagradOptions{.initial_accumulator = 0.25});
  for (const auto& [name, state] : opt.named_states()) {
    if (name != "sum.z") continue;
    EXPECT_THAT(ops::view_as_real(state->read()).to_vector<float>(),
                ElementsAre(0.25f, 0.25f, 0.25f, 0.25f));
  }
  // |z|^2 falls.
  const Tensor before = ops::sum(ops::square(ops::abs(p->read())));
  const Tensor g = ops::mul(p->read(), 2.0);
  opt.step({&g, 1});
  const Tensor after = ops::sum(ops::square(ops::abs(p->read())));
  EXPECT_LT(after.item(), before.item());
}

const Case kCases[] = {
    {"SGD",
     [](auto p) {
       return std::make_shared<SGD>(p, SGDOptions{0.1, 0.01});
     },
     {0.9769599450604224, -1.9771263901297125, 0.5258449728806953}},
    {"Momentum",
     [](auto p) {
       return std::make_shared<Momentum>(p, MomentumOptions{.lr = 0.1, .weight_decay = 0.01});
     },
     {0.5286152805109559, -2.360698604251443, 0.5165518882079183}},
    {"Dampening",
     [](auto p) {
       return std::make_shared<Momentum>(p, MomentumOptions{.lr = 0.1, .dampening = 0.3});
     },
     {0.6809002479215938, -2.398245648428388, 0.38875366778278486}},
    {"Nesterov",
     [](auto p) {
       return std::make_shared<Momentum>(
           p, MomentumOptions{.lr = 0.1, .nesterov = true, .weight_decay = 0.01});
     },
     {0.5547827521996027, -2.299160334751011, 0.5416651278907983}},
    {"Adam",
     [](auto p) { return std::make_shared<Adam>(p, AdamOptions{.lr = 0.1, .weight_decay = 0.01}); },
     {0.6414968934110383, -2.2773472798232115, 0.3933007898421413}},
    {"AdamW",
     [](auto p) {
       return std::make_shared<AdamW>(p, AdamWOptions{.lr = 0.1, .weight_decay = 0.05});
     },
     {0.719471812045444, -2.2215110583875894, 0.384408397295079}},
};

TEST(Optimizer, TrajectoriesArePyTorchs) {
  for (const Case& c : kCases) {
    for (bool graph : {false, true}) {
      const std::vector<double> got = trajectory(c.make, graph);
      for (int i = 0; i < 3; ++i) {
        EXPECT_NEAR(got[i], c.want[i], 1e-12) << c.name << (graph ? " graph" : " eager");
      }
    }
  }
}

TEST(Optimizer, GroupsScaleTheRateAndReplaceTheDecay) {
  ParameterPtr a = make_parameter("a"), b = make_parameter("b");
  SGD opt(std::vector<ParameterGroup>{{{a}, 1, {}}, {{b}, 0.5, 0.0}},
          {.lr = 0.1, .weight_decay = 1});
  const Tensor g = Tensor::from<double>({1, 1, 1}, {3});
  const Tensor grads[] = {g, g};
  opt.step(grads);
  EXPECT_THAT(a->value().to_vector<double>(),
              ElementsAre(testing::DoubleNear(0.8, 1e-12), testing::DoubleNear(-1.9, 1e-12),
                          testing::DoubleNear(0.35, 1e-12)));
  EXPECT_THAT(b->value().to_vector<double>(),
              ElementsAre(testing::DoubleNear(0.95, 1e-12), testing::DoubleNear(-2.05, 1e-12),
                          testing::DoubleNear(0.45, 1e-12)));
}

TEST(Optimizer, DecayGroupsLeaveVectorsAlone) {
  auto net = make<Sequential>();
  net->append(make<Linear>(3, 4));
  net->append(make<LayerNorm>(4));
  const std::vector<ParameterGroup> groups = decay_groups(*net);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].parameters.size(), 1u);
  EXPECT_FALSE(groups[0].weight_decay);
  EXPECT_EQ(groups[1].parameters.size(), 3u);
  EXPECT_EQ(groups[1].weight_decay, 0.0);
}

TEST(Optimizer, MissingGradientLeavesItsParameterAlone) {
  ParameterPtr a = make_parameter("a"), b = make_parameter("b");
  AdamW opt({a, b});
  const Tensor grads[] = {Tensor(), Tensor::from<double>({1, 1, 1}, {3})};
  opt.step(grads);
  EXPECT_THAT(a->value().to_vector<double>(), ElementsAre(1, -2, 0.5));
  EXPECT_NE(b->value().to_vector<double>()[0], 1);
}

TEST(Optimizer, SkippedStepChangesNothing) {
  ParameterPtr p = make_parameter();
  AdamW opt({p});
  const Tensor g = Tensor::from<double>({1, 1, 1}, {3});
  opt.step({&g, 1}, Tensor::scalar(true, DType::kBool));
  EXPECT_THAT(p->value().to_vector<double>(), ElementsAre(1, -2, 0.5));
  for (const auto& [name, state] : opt.named_states()) {
    if (name == "lr") continue;
    EXPECT_EQ(state->concrete().dtype() == DType::kI64 ? state->concrete().item()
                                                       : state->concrete().to_vector<double>()[0],
              0)
        << name;
  }
}

// Subnormal numbers never reach 0 by shrinking, and are slow.
TEST(Optimizer, MomentumOfAWeightWithoutGradientEndsAtZero) {
  if (kernels::isa() == kernels::Isa::kBaseline) GTEST_SKIP() << "the reference keeps them";
  auto p = std::make_shared<Parameter>("p", Tensor::full({40}, 1.0));
  Momentum opt({p});
  Tensor g = Tensor::full({40}, 1e-30);
  for (int i = 0; i < 300; ++i, g = Tensor::full({40}, 0.0)) opt.step({&g, 1});
  for (const auto& [name, state] : opt.named_states()) {
    if (name != "momentum.p") continue;
    EXPECT_EQ(state->concrete().to_vector<float>(), std::vector<float>(40, 0.0f));
  }
  EXPECT_EQ(p->value().to_vector<float>(), std::vector<float>(40, 1.0f));
}

TEST(Optimizer, StatesAreNamedForCheckpoints) {
  auto net = make<Sequential>();
  net->append(make<Linear>(2, 2));
  Momentum opt(net->parameters());
  std::vector<std::string> names;
  for (const auto& [name, state] : opt.named_states()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("lr", "step", "momentum.0.weight", "momentum.0.bias"));
}

TEST(Optimizer, EqualNamesStayApart) {
  Momentum opt({make_parameter("w"), make_parameter("w")});
  EXPECT_EQ(opt.named_states()[2].first, "momentum.w");
  EXPECT_EQ(opt.named_states()[3].first, "momentum.w#2");
}

TEST(Optimizer, ScheduleIsWrittenBeforeEachStepAndResumes) {
  ParameterPtr p = make_parameter();
  SGD opt({p});
  opt.set_schedule(linear(1, 0, 10));
  const Tensor g = Tensor::from<double>({0, 0, 0}, {3});
  for (int i = 0; i < 3; ++i) {
    opt.before_step();
    EXPECT_DOUBLE_EQ(opt.lr(), 1 - 0.1 * i);
    opt.step({&g, 1});
  }
  SGD resumed({p});
  resumed.set_schedule(linear(1, 0, 10));
  StateDict saved;
  for (const auto& [name, state] : opt.named_states()) saved[name] = state->concrete();
  load_states(resumed.named_states(), saved);
  resumed.before_step();
  EXPECT_DOUBLE_EQ(resumed.lr(), 0.7);
}

TEST(Optimizer, RefusesNonsense) {
  ParameterPtr p = make_parameter();
  EXPECT_THROW(SGD(std::vector<ParameterPtr>{}), Error);
  EXPECT_THROW(SGD({p, p}), Error);
  EXPECT_THROW(SGD({p, nullptr}), Error);
  SGD opt({p});
  EXPECT_THROW(opt.step({}), Error);
  const Tensor wrong = Tensor::from<double>({1, 1}, {2});
  EXPECT_THROW(opt.step({&wrong, 1}), Error);
  EXPECT_THAT(p->value().to_vector<double>(), ElementsAre(1, -2, 0.5));
}

TEST(Clip, ScalesDownToTheNormOnly) {
  std::vector<Tensor> grads{Tensor::from<float>({3}, {1}), Tensor(),
                            Tensor::from<float>({0, 4}, {2})};
  const Tensor norm = clip_by_global_norm(&grads, 1.0);
  EXPECT_NEAR(norm.item(), 5, 1e-6);
  EXPECT_NEAR(grads[0].item(), 0.6, 1e-6);
  EXPECT_FALSE(grads[1].defined());
  EXPECT_NEAR(grads[2].to_vector<float>()[1], 0.8, 1e-6);
  clip_by_global_norm(&grads, 100);
  EXPECT_NEAR(grads[0].item(), 0.6, 1e-6);
  EXPECT_THROW(clip_by_global_norm(&grads, 0), Error);
}

TEST(LossScaler, BacksOffAndGrows) {
  LossScaler scaler({.initial = 8, .interval = 2});
  auto step = [&](float g) {
    std::vector<Tensor> grads{Tensor::from<float>({g}, {1})};
    const Tensor skip = scaler.unscale(&grads);
    scaler.update(skip);
    return std::pair(skip.item<bool>(), grads[0].item());
  };
  EXPECT_EQ(scaler.scale(Tensor::scalar(2.0)).item(), 16);
  EXPECT_EQ(step(16), std::pair(false, 2.0));
  EXPECT_TRUE(step(INFINITY).first);
  EXPECT_EQ(scaler.value(), 4);
  EXPECT_EQ(step(16), std::pair(false, 4.0));
  EXPECT_EQ(scaler.value(), 4);
  step(16);
  EXPECT_EQ(scaler.value(), 8);
  EXPECT_TRUE(step(NAN).first);
  EXPECT_EQ(scaler.value(), 4);
}

TEST(LossScaler, StaticStays) {
  LossScaler scaler({.initial = 8, .dynamic = false});
  std::vector<Tensor> grads{Tensor::from<float>({INFINITY}, {1})};
  scaler.update(scaler.unscale(&grads));
  EXPECT_EQ(scaler.value(), 8);
}

}  // namespace
}  // namespace rutile::nn::optim

// SPDX-License-Identifier: Apache-2.0
// Forty learning rates of every schedule that PyTorch has, and a plateau.
#include <gtest/gtest.h>

#include <map>

#include "rutile/nn/optim/plateau.h"
#include "rutile/nn/optim/schedule.h"
#include "rutile/ops/index.h"
#include "rutile/tests/support/golden_values.h"

namespace rutile::nn::optim {
namespace {

using golden::Json;

TEST(ScheduleGolden, RatesArePyTorchs) {
  const Json file = golden::read_golden_file("updates_f64.json").at("schedules");
  OneCycleOptions cycle{.max_lr = 0.5, .steps = 40}, straight = cycle, three = cycle;
  straight.straight = true;
  three.three_phases = true;
  const CyclicOptions cyc{.low = 0.05, .high = 0.5, .up = 4, .down = 6};
  CyclicOptions half = cyc, exp = cyc;
  half.mode = CyclicMode::kTriangular2;
  exp.mode = CyclicMode::kExpRange;
  exp.gamma = 0.95;
  const std::map<std::string, Schedule> schedules{
      {"step_decay", step_decay(0.2, 7, 0.5)},
      {"multi_step", multi_step(0.2, {5, 11, 30}, 0.3)},
      {"exponential", exponential(0.2, 0.9)},
      {"cosine", cosine(0.2, 0.01, 39)},
      {"cosine_restarts", cosine_restarts(0.2, 0.01, 5, 2)},
      {"polynomial", polynomial(0.2, 0, 25, 2)},
      {"one_cycle", one_cycle(cycle)},
      {"one_cycle_linear", one_cycle(straight)},
      {"one_cycle_three_phases", one_cycle(three)},
      {"cyclic_triangular", cyclic(cyc)},
      {"cyclic_triangular2", cyclic(half)},
      {"cyclic_exp_range", cyclic(exp)},
      {"linear", linear(0.05, 0.2, 10)},
  };
  EXPECT_EQ(file.at("rates").size(), schedules.size());
  for (const auto& [name, rates] : file.at("rates").items()) {
    const Schedule& s = schedules.at(name);
    for (size_t i = 0; i < rates.size(); ++i) {
      EXPECT_NEAR(s(static_cast<int64_t>(i)), rates[i].get<double>(), 1e-12) << name << " " << i;
    }
  }
}

std::shared_ptr<Optimizer> any_optimizer() {
  auto p = std::make_shared<Parameter>("p", ops::full({1}, 1.0));
  return std::make_shared<SGD>(std::vector<ParameterPtr>{p}, SGDOptions{.lr = 0.2});
}

TEST(ScheduleGolden, PlateauIsPyTorchs) {
  const Json file = golden::read_golden_file("updates_f64.json").at("schedules").at("plateau");
  auto optimizer = any_optimizer();
  ReduceOnPlateau plateau(
      optimizer, {.factor = 0.5, .patience = 2, .threshold = 0.01, .cooldown = 1, .min_lr = 0.03});
  for (size_t i = 0; i < file.at("losses").size(); ++i) {
    plateau.observe(file["losses"][i].get<double>());
    EXPECT_NEAR(optimizer->lr(), file["rates"][i].get<double>(), 1e-15) << i;
  }
  EXPECT_EQ(plateau.best(), 0.5);
}

TEST(Plateau, LargerMayBeBetter) {
  auto optimizer = any_optimizer();
  ReduceOnPlateau plateau(optimizer, {.patience = 0, .absolute = true, .larger_is_better = true});
  EXPECT_FALSE(plateau.observe(0.5));
  EXPECT_FALSE(plateau.observe(0.6));
  EXPECT_TRUE(plateau.observe(NAN));
  EXPECT_NEAR(optimizer->lr(), 0.02, 1e-15);
}

TEST(Plateau, ResumesFromItsStates) {
  auto optimizer = any_optimizer();
  ReduceOnPlateau first(optimizer, {.patience = 1}), second(optimizer, {.patience = 1});
  first.observe(1);
  first.observe(2);
  StateDict saved;
  for (const auto& [name, state] : first.named_states()) saved[name] = state->concrete();
  load_states(second.named_states(), saved);
  EXPECT_TRUE(second.observe(2));
}

TEST(Plateau, RefusesNonsense) {
  EXPECT_THROW(ReduceOnPlateau(nullptr), Error);
  EXPECT_THROW(ReduceOnPlateau(any_optimizer(), {.factor = 1}), Error);
  auto scheduled = any_optimizer();
  scheduled->set_schedule(constant(1));
  EXPECT_THROW(ReduceOnPlateau{scheduled}, Error);
}

}  // namespace
}  // namespace rutile::nn::optim

// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace rutile::nn::optim {
namespace {

TEST(Schedule, Constant) {
  const Schedule s = constant(0.3);
  EXPECT_EQ(s(0), 0.3);
  EXPECT_EQ(s(1'000'000), 0.3);
}

TEST(Schedule, StepDecay) {
  const Schedule s = step_decay(1.0, 10, 0.5);
  EXPECT_EQ(s(0), 1.0);
  EXPECT_EQ(s(9), 1.0);
  EXPECT_EQ(s(10), 0.5);
  EXPECT_EQ(s(35), 0.125);
}

TEST(Schedule, MultiStepSortsItsMilestones) {
  const Schedule s = multi_step(1.0, {8, 3}, 0.1);
  EXPECT_EQ(s(2), 1.0);
  EXPECT_DOUBLE_EQ(s(3), 0.1);
  EXPECT_DOUBLE_EQ(s(7), 0.1);
  EXPECT_DOUBLE_EQ(s(8), 0.01);
}

TEST(Schedule, LinearEndsAndStays) {
  const Schedule s = linear(0.2, 1.0, 4);
  EXPECT_DOUBLE_EQ(s(0), 0.2);
  EXPECT_DOUBLE_EQ(s(1), 0.4);
  EXPECT_DOUBLE_EQ(s(4), 1.0);
  EXPECT_DOUBLE_EQ(s(9), 1.0);
}

TEST(Schedule, CosineIsTheClosedForm) {
  const Schedule s = cosine(0.8, 0.1, 20);
  for (int64_t i = 0; i <= 20; ++i) {
    const double want = 0.1 + 0.35 * (1 + std::cos(std::numbers::pi * static_cast<double>(i) / 20));
    EXPECT_NEAR(s(i), want, 1e-15);
  }
  EXPECT_NEAR(s(25), 0.1, 1e-15);
}

// Numbers of torch.optim.lr_scheduler.OneCycleLR(max_lr=2e-3, total_steps=10).
TEST(Schedule, OneCycleIsPyTorchs) {
  const Schedule s = one_cycle({.max_lr = 2e-3, .steps = 10});
  const double want[] = {7.999999999999999e-05,
                         0.0010400000000000001,
                         0.002,
                         0.0019009692640269472,
                         0.001623491307899526,
                         0.0012225240438725783,
                         0.0007774839561274215,
                         0.00037651669210047396,
                         9.903873597305257e-05,
                         8e-09};
  for (int64_t i = 0; i < 10; ++i) EXPECT_NEAR(s(i), want[i], 1e-12) << i;
  EXPECT_NEAR(s(50), want[9], 1e-12);
}

TEST(Schedule, OneCycleOfOneStep) { EXPECT_TRUE(std::isfinite(one_cycle({.steps = 1})(0))); }

TEST(Schedule, ChainCountsEachPartFromZero) {
  const Schedule s = chain({{3, linear(0, 3, 3)}, {2, constant(7)}, {1, linear(5, 6, 2)}});
  const double want[] = {0, 1, 2, 7, 7, 5, 5.5, 6, 6};
  for (int64_t i = 0; i < 9; ++i) EXPECT_DOUBLE_EQ(s(i), want[i]) << i;
}

TEST(Schedule, WarmUp) {
  const Schedule s = warm_up(4, cosine(1, 0, 10));
  EXPECT_DOUBLE_EQ(s(0), 0);
  EXPECT_DOUBLE_EQ(s(2), 0.5);
  EXPECT_DOUBLE_EQ(s(4), 1);
  EXPECT_NEAR(s(14), 0, 1e-15);
}

TEST(Schedule, PiecewiseConstant) {
  const Schedule s = piecewise_constant({3, 5}, {1, 0.5, 0.1});
  const double want[] = {1, 1, 1, 0.5, 0.5, 0.1, 0.1};
  for (int64_t i = 0; i < 7; ++i) EXPECT_EQ(s(i), want[i]) << i;
}

TEST(Schedule, DecaysByMindSporesFormulas) {
  const DecayOptions smooth{.lr = 0.4, .rate = 0.5, .period = 4},
      stairs{.lr = 0.4, .rate = 0.5, .period = 4, .staircase = true};
  EXPECT_DOUBLE_EQ(exponential_decay(smooth)(6), 0.4 * std::pow(0.5, 1.5));
  EXPECT_DOUBLE_EQ(exponential_decay(stairs)(6), 0.2);
  EXPECT_DOUBLE_EQ(natural_exp_decay(smooth)(6), 0.4 * std::exp(-0.75));
  EXPECT_DOUBLE_EQ(natural_exp_decay(stairs)(6), 0.4 * std::exp(-0.5));
  EXPECT_DOUBLE_EQ(inverse_decay(smooth)(6), 0.4 / 1.75);
  EXPECT_DOUBLE_EQ(inverse_decay(stairs)(7), 0.4 / 1.5);
}

TEST(Schedule, InverseSqrtPeaksAtItsWarmUp) {
  const Schedule s = inverse_sqrt(0.1, 10);
  EXPECT_DOUBLE_EQ(s(0), 0.01);
  EXPECT_DOUBLE_EQ(s(9), 0.1);
  EXPECT_DOUBLE_EQ(s(39), 0.05);
}

TEST(Schedule, PolynomialMayCycle) {
  const Schedule once = polynomial(1, 0.2, 10, 1), again = polynomial(1, 0.2, 10, 1, true);
  EXPECT_DOUBLE_EQ(once(5), 0.6);
  EXPECT_DOUBLE_EQ(once(50), 0.2);
  EXPECT_DOUBLE_EQ(again(10), 0.2);
  EXPECT_DOUBLE_EQ(again(15), 0.4);
}

TEST(Schedule, WarmUpFromAPartAndScaled) {
  const Schedule s = scaled(2, warm_up(4, 0.5, constant(1)));
  EXPECT_DOUBLE_EQ(s(0), 1);
  EXPECT_DOUBLE_EQ(s(2), 1.5);
  EXPECT_DOUBLE_EQ(s(9), 2);
}

TEST(Schedule, RefusesNonsense) {
  EXPECT_THROW(piecewise_constant({3}, {1}), Error);
  EXPECT_THROW(piecewise_constant({3, 3}, {1, 2, 3}), Error);
  EXPECT_THROW(cosine_restarts(1, 0, 5, 0), Error);
  EXPECT_THROW(cyclic({.up = 0}), Error);
  EXPECT_THROW(inverse_decay({.period = 0}), Error);
  EXPECT_THROW(step_decay(1, 0), Error);
  EXPECT_THROW(linear(0, 1, 0), Error);
  EXPECT_THROW(cosine(0, 1, -3), Error);
  EXPECT_THROW(one_cycle({.steps = 0}), Error);
  EXPECT_THROW(one_cycle({.steps = 5, .warm_part = 1.5}), Error);
  EXPECT_THROW(chain({}), Error);
  EXPECT_THROW(chain({{0, constant(1)}}), Error);
}

}  // namespace
}  // namespace rutile::nn::optim

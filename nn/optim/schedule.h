// SPDX-License-Identifier: Apache-2.0
// Learning-rate schedules: plain functions of the step (0, 1, ...). The training step writes the
// value into the optimizer's learning-rate State before each step, so nothing is recompiled.
//
//   optimizer->set_schedule(optim::one_cycle({.max_lr = 2e-3, .steps = 937}));
//   optimizer->set_schedule(optim::chain({{100, optim::linear(0, 0.1, 100)},
//                                         {900, optim::cosine(0.1, 0, 900)}}));
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "rutile/core/api.h"
#include "rutile/core/error.h"

namespace rutile::nn::optim {

using Schedule = std::function<double(int64_t step)>;

RUTILE_API Schedule constant(double lr);
// lr * gamma^(step / period), the exponent cut to a whole number.
RUTILE_API Schedule step_decay(double lr, int64_t period, double gamma = 0.1);
// lr * gamma^(number of milestones reached).
RUTILE_API Schedule multi_step(double lr, std::vector<int64_t> milestones, double gamma = 0.1);
// From `from` at step 0 to `to` at step `steps` and after, on a straight line.
RUTILE_API Schedule linear(double from, double to, int64_t steps);
// The same on half a cosine (Loshchilov and Hutter, "SGDR", 2017, one period).
RUTILE_API Schedule cosine(double from, double to, int64_t steps);

// Smith and Topin, "Super-convergence", 2019: up to max_lr over the first part, then down, both on
// half a cosine. The same numbers as PyTorch's OneCycleLR.
struct OneCycleOptions {
  double max_lr = 1e-3;
  int64_t steps = 1;
  double warm_part = 0.3;         // of the steps
  double div_factor = 25;         // starts at max_lr / div_factor
  double final_div_factor = 1e4;  // ends at max_lr / div_factor / final_div_factor
};
RUTILE_API Schedule one_cycle(const OneCycleOptions& options);

// One after the other: each part runs for its number of steps and counts from 0; the last goes on.
RUTILE_API Schedule chain(std::vector<std::pair<int64_t, Schedule>> parts);
// `steps` steps on a straight line from 0 to the schedule's first value, then the schedule from 0.
RUTILE_API Schedule warm_up(int64_t steps, Schedule then);

}  // namespace rutile::nn::optim

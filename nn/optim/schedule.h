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
// lr * gamma^step
RUTILE_API Schedule exponential(double lr, double gamma);
// values[i] between boundary i - 1 and boundary i: one value more than boundaries, which rise.
RUTILE_API Schedule piecewise_constant(std::vector<int64_t> boundaries, std::vector<double> values);

// Decay by t = step / period, cut to a whole number for `staircase` (MindSpore's *DecayLR).
struct DecayOptions {
  double lr = 0.1;
  double rate = 0.9;
  int64_t period = 1;
  bool staircase = false;
};
RUTILE_API Schedule exponential_decay(const DecayOptions& o);  // lr * rate^t
RUTILE_API Schedule natural_exp_decay(const DecayOptions& o);  // lr * exp(-rate t)
RUTILE_API Schedule inverse_decay(const DecayOptions& o);      // lr / (1 + rate t)
// lr * sqrt(warm / max(step + 1, warm)), on a straight line from lr / warm to lr in the first
// `warm` steps (Vaswani et al., "Attention is all you need", 2017, whose factor is lr *
// sqrt(warm)).
RUTILE_API Schedule inverse_sqrt(double lr, int64_t warm);

// From `from` at step 0 to `to` at step `steps` and after, on a straight line.
RUTILE_API Schedule linear(double from, double to, int64_t steps);
// The same on half a cosine (Loshchilov and Hutter, "SGDR", 2017, one period).
RUTILE_API Schedule cosine(double from, double to, int64_t steps);
// The same again and again (SGDR): the first run takes `steps` steps, each further one `factor`
// times as many, and starts at `from` again.
RUTILE_API Schedule cosine_restarts(double from, double to, int64_t steps, int64_t factor = 1);
// to + (from - to) (1 - step / steps)^power, `to` afterwards; with `cycle` the steps grow to the
// next multiple instead.
RUTILE_API Schedule polynomial(double from, double to, int64_t steps, double power = 1,
                               bool cycle = false);

// Smith, "Cyclical learning rates", 2017: up from `low` to `high` in `up` steps, down in `down`,
// again and again. The same numbers as PyTorch's CyclicLR.
enum class CyclicMode { kTriangular, kTriangular2, kExpRange };
struct CyclicOptions {
  double low = 1e-4, high = 1e-2;
  int64_t up = 2000, down = 2000;
  CyclicMode mode = CyclicMode::kTriangular;  // triangular2 halves the height with each cycle,
  double gamma = 1;                           // exp_range multiplies it by gamma^step
};
RUTILE_API Schedule cyclic(const CyclicOptions& o);

// Smith and Topin, "Super-convergence", 2019: up to max_lr over the first part, then down, both on
// half a cosine. The same numbers as PyTorch's OneCycleLR.
struct OneCycleOptions {
  double max_lr = 1e-3;
  int64_t steps = 1;
  double warm_part = 0.3;         // of the steps
  double div_factor = 25;         // starts at max_lr / div_factor
  double final_div_factor = 1e4;  // ends at max_lr / div_factor / final_div_factor
  bool three_phases = false;      // down to where it started in as many steps, then to the end
  bool straight = false;          // on straight lines
};
RUTILE_API Schedule one_cycle(const OneCycleOptions& options);

// One after the other: each part runs for its number of steps and counts from 0; the last goes on.
RUTILE_API Schedule chain(std::vector<std::pair<int64_t, Schedule>> parts);
// `steps` steps on a straight line from 0 to the schedule's first value, then the schedule from 0.
// The second form starts at `part` of that value.
RUTILE_API Schedule warm_up(int64_t steps, Schedule then);
RUTILE_API Schedule warm_up(int64_t steps, double part, Schedule then);
// The schedule times `factor`.
RUTILE_API Schedule scaled(double factor, Schedule schedule);

}  // namespace rutile::nn::optim

// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>

namespace rutile::nn::optim {

namespace {

double on_cosine(double from, double to, double part) {
  return to + (from - to) / 2 * (1 + std::cos(std::numbers::pi * part));
}

void need_positive(const char* what, int64_t n) {
  if (n <= 0) throw_error(ErrorCode::kValue, cat(what, " must be positive, got ", n));
}

}  // namespace

Schedule constant(double lr) {
  return [lr](int64_t) { return lr; };
}

Schedule step_decay(double lr, int64_t period, double gamma) {
  need_positive("the period of step_decay", period);
  return [=](int64_t step) { return lr * std::pow(gamma, static_cast<double>(step / period)); };
}

Schedule multi_step(double lr, std::vector<int64_t> milestones, double gamma) {
  std::sort(milestones.begin(), milestones.end());
  return [=](int64_t step) {
    const auto reached = std::upper_bound(milestones.begin(), milestones.end(), step);
    return lr * std::pow(gamma, static_cast<double>(reached - milestones.begin()));
  };
}

Schedule linear(double from, double to, int64_t steps) {
  need_positive("the steps of linear", steps);
  return [=](int64_t step) {
    const double part = static_cast<double>(std::min(step, steps)) / static_cast<double>(steps);
    return from + (to - from) * part;
  };
}

Schedule cosine(double from, double to, int64_t steps) {
  need_positive("the steps of cosine", steps);
  return [=](int64_t step) {
    return on_cosine(from, to,
                     static_cast<double>(std::min(step, steps)) / static_cast<double>(steps));
  };
}

Schedule one_cycle(const OneCycleOptions& o) {
  need_positive("the steps of one_cycle", o.steps);
  if (!(o.warm_part >= 0 && o.warm_part <= 1)) {
    throw_error(ErrorCode::kValue,
                cat("one_cycle's warm_part must be in [0, 1], got ", o.warm_part));
  }
  const double start = o.max_lr / o.div_factor, end = start / o.final_div_factor;
  const double peak = o.warm_part * static_cast<double>(o.steps) - 1;
  const double last = static_cast<double>(o.steps) - 1;
  return [=](int64_t step) {
    const double s = std::min(static_cast<double>(step), last);
    if (peak > 0 && s <= peak) return on_cosine(start, o.max_lr, s / peak);
    if (last <= peak) return o.max_lr;
    return on_cosine(o.max_lr, end, (s - peak) / (last - peak));
  };
}

Schedule chain(std::vector<std::pair<int64_t, Schedule>> parts) {
  if (parts.empty()) throw_error(ErrorCode::kValue, "chain needs at least one schedule");
  for (const auto& [steps, schedule] : parts) need_positive("the steps of a chain's part", steps);
  auto held = std::make_shared<const std::vector<std::pair<int64_t, Schedule>>>(std::move(parts));
  return [held](int64_t step) {
    for (size_t i = 0; i + 1 < held->size(); ++i) {
      const auto& [steps, schedule] = (*held)[i];
      if (step < steps) return schedule(step);
      step -= steps;
    }
    return held->back().second(step);
  };
}

Schedule warm_up(int64_t steps, Schedule then) {
  need_positive("the steps of warm_up", steps);
  const double top = then(0);
  return chain({{steps, linear(0, top, steps)}, {1, std::move(then)}});
}

}  // namespace rutile::nn::optim

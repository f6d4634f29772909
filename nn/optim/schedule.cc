// SPDX-License-Identifier: Apache-2.0
#include "rutile/nn/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <functional>
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

Schedule exponential(double lr, double gamma) {
  return [=](int64_t step) { return lr * std::pow(gamma, static_cast<double>(step)); };
}

Schedule piecewise_constant(std::vector<int64_t> boundaries, std::vector<double> values) {
  if (values.size() != boundaries.size() + 1) {
    throw_error(ErrorCode::kValue,
                cat("piecewise_constant expects one value more than boundaries, got ",
                    values.size(), " and ", boundaries.size()));
  }
  if (std::adjacent_find(boundaries.begin(), boundaries.end(), std::greater_equal<>()) !=
      boundaries.end()) {
    throw_error(ErrorCode::kValue, "the boundaries of piecewise_constant must rise");
  }
  return [=](int64_t step) {
    const auto reached = std::upper_bound(boundaries.begin(), boundaries.end(), step);
    return values[static_cast<size_t>(reached - boundaries.begin())];
  };
}

namespace {

// f(t) for the t of DecayOptions.
template <class F>
Schedule decay(const DecayOptions& o, F f) {
  need_positive("the period of a decay", o.period);
  return [=](int64_t step) {
    const double t = o.staircase ? static_cast<double>(step / o.period)
                                 : static_cast<double>(step) / static_cast<double>(o.period);
    return f(t);
  };
}

}  // namespace

Schedule exponential_decay(const DecayOptions& o) {
  return decay(o, [=](double t) { return o.lr * std::pow(o.rate, t); });
}

Schedule natural_exp_decay(const DecayOptions& o) {
  return decay(o, [=](double t) { return o.lr * std::exp(-o.rate * t); });
}

Schedule inverse_decay(const DecayOptions& o) {
  return decay(o, [=](double t) { return o.lr / (1 + o.rate * t); });
}

Schedule inverse_sqrt(double lr, int64_t warm) {
  need_positive("the steps of inverse_sqrt's warm-up", warm);
  return [=](int64_t step) {
    const double t = static_cast<double>(step) + 1, w = static_cast<double>(warm);
    return t < w ? lr * t / w : lr * std::sqrt(w / t);
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

Schedule cosine_restarts(double from, double to, int64_t steps, int64_t factor) {
  need_positive("the steps of cosine_restarts", steps);
  need_positive("the factor of cosine_restarts", factor);
  return [=](int64_t step) {
    int64_t run = steps;
    if (factor == 1) step %= run;
    while (step >= run) {
      step -= run;
      run *= factor;
    }
    return on_cosine(from, to, static_cast<double>(step) / static_cast<double>(run));
  };
}

Schedule polynomial(double from, double to, int64_t steps, double power, bool cycle) {
  need_positive("the steps of polynomial", steps);
  return [=](int64_t step) {
    const int64_t runs = cycle ? std::max<int64_t>(1, (step + steps - 1) / steps) : 1;
    const double part =
        static_cast<double>(std::min(step, steps * runs)) / static_cast<double>(steps * runs);
    return to + (from - to) * std::pow(1 - part, power);
  };
}

Schedule cyclic(const CyclicOptions& o) {
  need_positive("the steps up of cyclic", o.up);
  need_positive("the steps down of cyclic", o.down);
  return [=](int64_t step) {
    const int64_t round = step / (o.up + o.down), at = step % (o.up + o.down);
    double height = at <= o.up ? static_cast<double>(at) / static_cast<double>(o.up)
                               : 1 - static_cast<double>(at - o.up) / static_cast<double>(o.down);
    if (o.mode == CyclicMode::kTriangular2) height *= std::pow(0.5, static_cast<double>(round));
    if (o.mode == CyclicMode::kExpRange) height *= std::pow(o.gamma, static_cast<double>(step));
    return o.low + (o.high - o.low) * height;
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
  const double middle = o.three_phases ? 2 * peak : last;
  const bool straight = o.straight;
  auto move = [straight](double from, double to, double part) {
    return straight ? from + (to - from) * part : on_cosine(from, to, part);
  };
  return [=](int64_t step) {
    const double s = std::min(static_cast<double>(step), last);
    if (peak > 0 && s <= peak) return move(start, o.max_lr, s / peak);
    if (last <= peak) return o.max_lr;
    if (!o.three_phases) return move(o.max_lr, end, (s - peak) / (last - peak));
    if (s <= middle) return move(o.max_lr, start, (s - peak) / (middle - peak));
    return middle < last ? move(start, end, (s - middle) / (last - middle)) : start;
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

Schedule warm_up(int64_t steps, Schedule then) { return warm_up(steps, 0, std::move(then)); }

Schedule warm_up(int64_t steps, double part, Schedule then) {
  need_positive("the steps of warm_up", steps);
  const double top = then(0);
  return chain({{steps, linear(part * top, top, steps)}, {1, std::move(then)}});
}

Schedule scaled(double factor, Schedule schedule) {
  return [factor, schedule = std::move(schedule)](int64_t step) { return factor * schedule(step); };
}

}  // namespace rutile::nn::optim

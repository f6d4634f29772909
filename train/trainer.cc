// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "rutile/core/interrupt.h"
#include "rutile/train/metrics.h"

namespace rutile::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// The middle one, the lower of two; NaN of nothing.
double median(std::vector<double> v) {
  if (v.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = v.begin() + static_cast<std::ptrdiff_t>((v.size() - 1) / 2);
  std::nth_element(v.begin(), middle, v.end());
  return *middle;
}

std::vector<double> rates(const History& h, int64_t skip) {
  std::vector<double> v;
  for (size_t i = static_cast<size_t>(skip); i < h.step_seconds.size(); ++i) {
    v.push_back(static_cast<double>(h.step_items[i]) / h.step_seconds[i]);
  }
  return v;
}

}  // namespace

double History::median_seconds(int64_t skip) const {
  if (skip >= static_cast<int64_t>(step_seconds.size())) return median({});
  return median({step_seconds.begin() + skip, step_seconds.end()});
}

double History::median_items_per_second(int64_t skip) const { return median(rates(*this, skip)); }

double History::best_items_per_second(int64_t skip) const {
  const std::vector<double> v = rates(*this, skip);
  return v.empty() ? median({}) : *std::max_element(v.begin(), v.end());
}

Trainer::Trainer(nn::TrainStep& step, Feed& feed, TrainerOptions options)
    : step_(step), feed_(feed), options_(options) {
  const int64_t per_epoch = feed.batches_per_epoch();
  if (options.epochs < 0 || options.steps < 0 || options.items_per_sample < 1) {
    throw_error(ErrorCode::kValue,
                cat("a Trainer takes epochs and steps from 0 and items_per_sample from 1, got ",
                    options.epochs, ", ", options.steps, " and ", options.items_per_sample));
  }
  if (per_epoch == 0 && options.steps == 0) {
    throw_error(ErrorCode::kValue, "training without epochs needs a number of steps");
  }
  if (per_epoch > 0 && options.epochs > std::numeric_limits<int64_t>::max() / per_epoch) {
    throw_error(ErrorCode::kValue, cat(options.epochs, " epochs are too many"));
  }
  total_ = per_epoch == 0 ? options.steps : options.epochs * per_epoch;
  if (options.steps > 0) total_ = std::min(total_, options.steps);
}

void Trainer::add(CallbackPtr callback) {
  if (!callback) throw_error(ErrorCode::kValue, "a callback is null");
  callbacks_.push_back(std::move(callback));
}

StepInfo Trainer::one_step(History* history) {
  const dataset::Batch batch = feed_.next();
  const int64_t calls = call_stats().calls;
  const auto start = Clock::now();
  StepInfo info;
  info.loss = step_(batch.x(), batch.labels()).loss.item();
  info.seconds = seconds_since(start);
  info.lr = step_.optimizer().lr();
  info.step = ++done_;
  info.epoch = batch.epoch;
  info.epoch_step = feed_.batches_per_epoch() > 0 ? batch.index + 1 : done_;
  info.items = batch.size() * options_.items_per_sample;
  info.last_of_epoch = info.epoch_step == feed_.batches_per_epoch();
  history->losses.push_back(info.loss);
  history->lrs.push_back(info.lr);
  history->step_seconds.push_back(info.seconds);
  history->step_items.push_back(info.items);
  history->calls_per_step = call_stats().calls - calls;
  return info;
}

void Trainer::check_loss(const StepInfo& info) const {
  if (!options_.stop_on_bad_loss || std::isfinite(info.loss)) return;
  throw_error(ErrorCode::kValue,
              cat("the loss is ", std::isnan(info.loss) ? "not a number" : "infinite", " in step ",
                  info.step, " (learning rate ", info.lr, "); a lower learning rate may help"));
}

// Between two steps.
void Trainer::check_stop() {
  if (!agreement_) return check_interrupt();
  if (!agreement_->next(interrupted())) return;
  together_ = true;
  check_interrupt();
  throw_error(ErrorCode::kInterrupted, "interrupted on another rank");
}

void Trainer::loop(History* history) {
  Mean epoch_loss;
  while (done_ < total_ && !stop_) {
    check_stop();
    const StepInfo info = one_step(history);
    check_loss(info);
    epoch_loss.add(info.loss, 1);
    for (const CallbackPtr& c : callbacks_) c->on_step_end(*this, info);
    if (!info.last_of_epoch) continue;
    for (const CallbackPtr& c : callbacks_) c->on_epoch_end(*this, info, epoch_loss.value());
    epoch_loss = Mean();
  }
  for (const CallbackPtr& c : callbacks_) c->on_train_end(*this);
}

History Trainer::run() {
  History history;
  const auto start = Clock::now();
  const double waited = feed_.wait_seconds();
  stop_ = false;
  const auto& parallel = step_.options().data_parallel;
  const bool ranks = parallel && communicator(parallel->group)->size() > 1;
  agreement_ = ranks ? std::make_unique<dist::StopAgreement>(parallel->group) : nullptr;
  together_ = !ranks;
  struct End {
    Trainer& t;
    ~End() { t.agreement_.reset(); }
  } end{*this};
  try {
    for (const CallbackPtr& c : callbacks_) c->on_train_begin(*this);
    loop(&history);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kInterrupted) throw;
    std::string message = cat(e.message(), " after step ", done_);
    for (const CallbackPtr& c : callbacks_) message += c->on_interrupt(*this);
    throw_error(ErrorCode::kInterrupted, std::move(message));
  }
  history.seconds = seconds_since(start);
  history.wait_seconds = feed_.wait_seconds() - waited;
  return history;
}

}  // namespace rutile::train

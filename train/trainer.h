// SPDX-License-Identifier: Apache-2.0
// The training loop: batches in, steps out, callbacks in between.
//
//   nn::TrainStep step(net, nn::CrossEntropyLoss(), optimizer, {.mode = nn::Mode::kGraph});
//   train::PipelineFeed feed(pipeline);
//   train::Trainer trainer(step, feed, {.epochs = 3});
//   trainer.add(std::make_shared<train::ProgressCallback>(progress));
//   train::History h = trainer.run();
//
// After an interrupt (core/interrupt.h) the step under way is finished, callbacks are told (that is
// when a checkpoint is written) and Error{kInterrupted} is thrown. In data-parallel training an
// interrupt of any rank stops all of them after the same step. A Trainer is used by one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rutile/dist/stop.h"
#include "rutile/nn/train_step.h"
#include "rutile/train/feed.h"

namespace rutile::train {

// A finished step.
struct StepInfo {
  int64_t step = 0;        // done since training began, this one included
  int64_t epoch = 0;       // from 0
  int64_t epoch_step = 0;  // done in this epoch
  int64_t items = 0;       // in the batch
  double loss = 0;
  double lr = 0;
  double seconds = 0;  // of the step, without waiting for the batch
  bool last_of_epoch = false;
};

// Of one run(), not of what came before a resume.
struct History {
  std::vector<double> losses, lrs, step_seconds;  // an entry for each step
  std::vector<int64_t> step_items;
  double seconds = 0;          // all of it, callbacks included
  double wait_seconds = 0;     // for batches
  int64_t calls_per_step = 0;  // ops called eagerly in the last step
  // Middle of the step times after the first `skip`; NaN without any.
  RUTILE_API double median_seconds(int64_t skip = 0) const;
  RUTILE_API double median_items_per_second(int64_t skip = 0) const;
  RUTILE_API double best_items_per_second(int64_t skip = 0) const;
};

class Trainer;

// Told what happens. What it throws ends the training.
class RUTILE_API Callback {
 public:
  virtual ~Callback() = default;
  virtual void on_train_begin(Trainer&) {}
  virtual void on_step_end(Trainer&, const StepInfo&) {}
  // After the last step of an epoch; `mean_loss` of its steps in this run.
  virtual void on_epoch_end(Trainer&, const StepInfo& /*last*/, double /*mean_loss*/) {}
  virtual void on_train_end(Trainer&) {}
  // What it returns is added to the message of the error.
  virtual std::string on_interrupt(Trainer&) { return ""; }
};
using CallbackPtr = std::shared_ptr<Callback>;

struct TrainerOptions {
  int64_t epochs = 1;
  int64_t steps = 0;             // > 0: stop after so many steps, even within an epoch
  int64_t items_per_sample = 1;  // tokens of a text, for instance
  bool stop_on_bad_loss = true;  // Error{kValue} when the loss is infinite or no number
};

class RUTILE_API Trainer {
 public:
  // Step and feed outlive the Trainer. Throws Error{kValue} if the options leave the number of
  // steps open (a feed without epochs needs `steps`).
  Trainer(nn::TrainStep& step, Feed& feed, TrainerOptions options = {});

  // Callbacks are called in the order they were added.
  void add(CallbackPtr callback);
  // Trains up to total_steps(), from where it stands.
  History run();
  // After the current step. run() returns as at the end.
  void stop() { stop_ = true; }
  // To go on with an earlier run, whose states and feed are loaded.
  void set_steps_done(int64_t steps) { done_ = steps; }

  int64_t steps_done() const { return done_; }
  int64_t total_steps() const { return total_; }
  nn::TrainStep& step() { return step_; }
  Feed& feed() { return feed_; }
  // In on_interrupt(): all ranks stand behind the same step, and callbacks may let them work
  // together. False where something else broke off this rank's training.
  bool together() const { return together_; }
  const TrainerOptions& options() const { return options_; }

 private:
  void loop(History* history);
  void check_stop();
  StepInfo one_step(History* history);
  void check_loss(const StepInfo& info) const;

  nn::TrainStep& step_;
  Feed& feed_;
  TrainerOptions options_;
  std::vector<CallbackPtr> callbacks_;
  int64_t done_ = 0, total_ = 0;
  bool stop_ = false, together_ = true;
  std::unique_ptr<dist::StopAgreement> agreement_;
};

}  // namespace rutile::train

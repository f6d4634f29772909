// SPDX-License-Identifier: Apache-2.0
// Callbacks of the training loop.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "rutile/train/checkpoint.h"
#include "rutile/train/evaluate.h"
#include "rutile/train/progress.h"
#include "rutile/train/trainer.h"

namespace rutile::train {

// Shows each step. The Progress outlives it.
class RUTILE_API ProgressCallback final : public Callback {
 public:
  explicit ProgressCallback(Progress& progress, std::string unit = "images")
      : progress_(progress), unit_(std::move(unit)) {}
  void on_train_begin(Trainer& trainer) override;
  void on_step_end(Trainer& trainer, const StepInfo& info) override;
  void on_epoch_end(Trainer& trainer, const StepInfo& last, double mean_loss) override;
  void on_train_end(Trainer&) override { progress_.finish(); }
  std::string on_interrupt(Trainer&) override;

 private:
  void start(Trainer& trainer);
  Progress& progress_;
  std::string unit_;
};

struct CheckpointCallbackOptions {
  int64_t every_steps = 0;    // 0: by time
  double every_seconds = 60;  // with every_steps == 0
  Metadata metadata = {};     // written into each file beside where training stands
  // Several ranks (StepOptions::data_parallel) write a checkpoint together, each about as many
  // bytes. Without it rank 0 writes, unless the optimizer's states are in shards.
  bool shards = false;
};

// Saves at the end of each epoch, every so often in between, at the end, and after an interrupt.
// Metadata: epoch and epoch_step (done), ranks, and "data.*", the feed's position.
// In data-parallel training all ranks have this callback, and after an interrupt of any of them all
// save the same step together. Where ranks hang (dist/stop.h) rank 0 still saves by itself if it
// has everything, else the last checkpoint counts.
class RUTILE_API CheckpointCallback final : public Callback {
 public:
  CheckpointCallback(CheckpointFolder folder, CheckpointCallbackOptions options = {});
  void on_train_begin(Trainer& trainer) override;
  void on_step_end(Trainer& trainer, const StepInfo& info) override;
  void on_epoch_end(Trainer& trainer, const StepInfo&, double) override { save(trainer); }
  void on_train_end(Trainer& trainer) override { save(trainer); }
  std::string on_interrupt(Trainer& trainer) override;
  // Nothing is written if the last save was at this very step. In data-parallel training all ranks
  // call it.
  void save(Trainer& trainer);
  // Path of the last save; empty before.
  const std::string& last_path() const { return last_path_; }

 private:
  bool together(Trainer& trainer) const;
  bool due(Trainer& trainer, const StepInfo& info) const;
  CheckpointFolder folder_;
  CheckpointCallbackOptions options_;
  int64_t last_step_ = -1;
  std::string last_path_;
  std::chrono::steady_clock::time_point last_time_;
};

// Puts everything of a checkpoint in place: states, the feed's position, the step count. Strict:
// Error{kValue} with a list of what is missing, unexpected or of another shape or dtype, or with
// what differs in the data. Another number of ranks may go on where the batches of all ranks
// together stay the same.
RUTILE_API void resume(Trainer& trainer, const Checkpoint& checkpoint);

// Calls `fn` after each epoch: an evaluation, for instance.
class RUTILE_API EpochCallback final : public Callback {
 public:
  using Fn = std::function<void(Trainer&, const StepInfo& last, double mean_loss)>;
  explicit EpochCallback(Fn fn) : fn_(std::move(fn)) {}
  void on_epoch_end(Trainer& trainer, const StepInfo& last, double mean_loss) override {
    fn_(trainer, last, mean_loss);
  }

 private:
  Fn fn_;
};

// Ends the training when so many steps were done in this run.
class RUTILE_API StopAfterSteps final : public Callback {
 public:
  explicit StopAfterSteps(int64_t steps) : left_(steps) {}
  void on_step_end(Trainer& trainer, const StepInfo&) override {
    if (--left_ <= 0) trainer.stop();
  }

 private:
  int64_t left_;
};

}  // namespace rutile::train

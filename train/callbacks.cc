// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/callbacks.h"

#include <charconv>

namespace rutile::train {
namespace {

constexpr std::string_view kData = "data.";

}  // namespace

// ---- Progress -----------------------------------------------------------------------------------

void ProgressCallback::start(Trainer& t) {
  const int64_t per_epoch = t.feed().batches_per_epoch();
  progress_.start({.epochs = per_epoch > 0 ? (t.total_steps() + per_epoch - 1) / per_epoch : 0,
                   .steps = per_epoch > 0 ? per_epoch : t.total_steps(),
                   .total = t.total_steps(),
                   .unit = unit_});
}

void ProgressCallback::on_train_begin(Trainer& trainer) { start(trainer); }

void ProgressCallback::on_step_end(Trainer& trainer, const StepInfo& info) {
  progress_.update({.epoch = info.epoch + 1,
                    .step = info.epoch_step,
                    .done = info.step,
                    .items = info.items,
                    .loss = info.loss,
                    .last = info.last_of_epoch || info.step == trainer.total_steps()});
}

// Other callbacks may print now, and what they do is not part of the next epoch's speed.
void ProgressCallback::on_epoch_end(Trainer& trainer, const StepInfo&, double) { start(trainer); }

std::string ProgressCallback::on_interrupt(Trainer&) {
  progress_.finish();
  return "";
}

// ---- Checkpoints --------------------------------------------------------------------------------

CheckpointCallback::CheckpointCallback(CheckpointFolder folder, CheckpointCallbackOptions options)
    : folder_(std::move(folder)), options_(std::move(options)) {}

void CheckpointCallback::on_train_begin(Trainer& trainer) {
  last_step_ = trainer.steps_done();
  last_time_ = std::chrono::steady_clock::now();
}

void CheckpointCallback::on_step_end(Trainer& trainer, const StepInfo& info) {
  if (options_.every_steps > 0) {
    if (info.step % options_.every_steps == 0) save(trainer);
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  const double passed = std::chrono::duration<double>(now - last_time_).count();
  if (passed >= options_.every_seconds) save(trainer);
}

void CheckpointCallback::save(Trainer& trainer) {
  last_time_ = std::chrono::steady_clock::now();
  if (trainer.steps_done() == last_step_) return;
  Metadata all = options_.metadata;
  for (const auto& [key, value] : trainer.feed().state_dict()) {
    all[cat(kData, key)] = std::to_string(value);
  }
  const int64_t done = trainer.steps_done(), per_epoch = trainer.feed().batches_per_epoch();
  all["epoch"] = std::to_string(per_epoch > 0 ? done / per_epoch : 0);
  all["epoch_step"] = std::to_string(per_epoch > 0 ? done % per_epoch : done);
  last_path_ = folder_.save(done, trainer.step().named_states(), all);
  last_step_ = done;
}

std::string CheckpointCallback::on_interrupt(Trainer& trainer) {
  save(trainer);
  if (last_path_.empty()) return "";
  return cat("; saved as '", last_path_, "'");
}

void resume(Trainer& trainer, const Checkpoint& checkpoint) {
  std::map<std::string, int64_t> data;
  for (const auto& [key, value] : checkpoint.metadata) {
    if (!key.starts_with(kData)) continue;
    int64_t number = 0;
    const auto [at, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error != std::errc() || at != value.data() + value.size()) {
      throw_error(ErrorCode::kValue,
                  cat("'", checkpoint.path, "' has ", key, " = '", value, "', no number"));
    }
    data[key.substr(kData.size())] = number;
  }
  try {
    // First what changes nothing when it refuses.
    if (trainer.feed().batches_per_epoch() > 0) trainer.feed().load_state_dict(data);
    trainer.step().load_states(checkpoint.values);
  } catch (const Error& e) {
    throw_error(e.code(), cat("cannot go on from '", checkpoint.path, "': ", e.message()));
  }
  trainer.set_steps_done(checkpoint.step);
}

}  // namespace rutile::train

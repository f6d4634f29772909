// SPDX-License-Identifier: Apache-2.0
#include "rutile/train/callbacks.h"

#include <algorithm>
#include <charconv>

#include "rutile/dist/group.h"
#include "rutile/ops/collective.h"

namespace rutile::train {
namespace {

constexpr std::string_view kData = "data.";

int ranks_of(const nn::TrainStep& step) {
  const auto& o = step.options().data_parallel;
  return o ? dist::size(o->group) : 1;
}

// Sums of gradients, which differ between ranks in the middle of an accumulated step, become their
// mean: what the step will make of them is the same, on any number of ranks.
void average_sums(const std::string& group, std::vector<nn::NamedState>* states) {
  for (auto& [name, state] : *states) {
    if (!name.starts_with("accumulated.") || !is_floating(state->meta().dtype)) continue;
    state = make_ref<State>(
        name, ops::all_reduce(state->concrete(), {.reduce = Reduce::kMean, .group = group}));
  }
}

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

// Whether saving needs all ranks.
bool CheckpointCallback::together(Trainer& trainer) const {
  const nn::TrainStep& step = trainer.step();
  if (ranks_of(step) == 1) return false;
  return options_.shards || !step.sharded_states().empty() || step.options().accumulate > 1;
}

bool CheckpointCallback::due(Trainer& trainer, const StepInfo& info) const {
  if (options_.every_steps > 0) return info.step % options_.every_steps == 0;
  const auto now = std::chrono::steady_clock::now();
  const bool mine =
      std::chrono::duration<double>(now - last_time_).count() >= options_.every_seconds;
  if (!together(trainer)) return mine;
  // By the clock of rank 0.
  const std::string& group = trainer.step().options().data_parallel->group;
  return ops::broadcast(Tensor::scalar(mine, DType::kBool), {.group = group}).item<bool>();
}

void CheckpointCallback::on_step_end(Trainer& trainer, const StepInfo& info) {
  if (due(trainer, info)) save(trainer);
}

void CheckpointCallback::save(Trainer& trainer) {
  last_time_ = std::chrono::steady_clock::now();
  if (trainer.steps_done() == last_step_) return;
  const nn::TrainStep& step = trainer.step();
  const int ranks = ranks_of(step);
  const bool all_ranks = together(trainer);
  const std::string group = ranks > 1 ? step.options().data_parallel->group : "world";
  const int64_t done = trainer.steps_done(), per_epoch = trainer.feed().batches_per_epoch();
  last_step_ = done;
  if (!all_ranks && ranks > 1 && dist::rank(group) != 0) return;
  Metadata all = options_.metadata;
  for (const auto& [key, value] : trainer.feed().state_dict()) {
    all[cat(kData, key)] = std::to_string(value);
  }
  all["ranks"] = std::to_string(ranks);
  all["epoch"] = std::to_string(per_epoch > 0 ? done / per_epoch : 0);
  all["epoch_step"] = std::to_string(per_epoch > 0 ? done % per_epoch : done);
  std::vector<nn::NamedState> states = step.named_states();
  if (all_ranks) average_sums(group, &states);
  if (all_ranks && (options_.shards || !step.sharded_states().empty())) {
    last_path_ = folder_.save_shards(done, states, step.sharded_states(), all, group);
  } else if (ranks == 1 || dist::rank(group) == 0) {
    last_path_ = folder_.save(done, states, all);
  }
}

std::string CheckpointCallback::on_interrupt(Trainer& trainer) {
  if (trainer.together() || !together(trainer)) save(trainer);
  if (last_path_.empty()) return "";
  return cat("; saved as '", last_path_, "'");
}

namespace {

// The feed's position as this number of ranks counts.
void fit_ranks(const Checkpoint& checkpoint, int ranks, const std::map<std::string, int64_t>& now,
               std::map<std::string, int64_t>* data) {
  const auto it = checkpoint.metadata.find("ranks");
  if (it == checkpoint.metadata.end() || it->second == std::to_string(ranks)) return;
  int64_t before = 0;
  const auto [at, error] =
      std::from_chars(it->second.data(), it->second.data() + it->second.size(), before);
  if (error != std::errc() || at != it->second.data() + it->second.size() || before < 1) {
    throw_error(ErrorCode::kValue, cat("'", checkpoint.path, "' is of '", it->second, "' ranks"));
  }
  const auto batch = data->find("batch_size"), samples = data->find("samples");
  if (batch == data->end() || !now.count("batch_size")) return;  // data without an order
  const int64_t want = now.at("batch_size");
  if (batch->second * before != want * ranks) {
    throw_error(ErrorCode::kValue, cat("it was saved by ", before, " rank(s) with batches of ",
                                       batch->second, " each, together ", batch->second * before,
                                       "; ", ranks, " rank(s) with batches of ", want, " make ",
                                       want * ranks, ": choose a batch size that makes the same"));
  }
  batch->second = want;
  // All ranks read equally many samples: the first ones again where they do not come out even.
  if (samples == data->end() || !now.count("samples")) return;
  const int64_t read = samples->second * before, reads = now.at("samples") * ranks;
  if (std::max(read, reads) - std::min(read, reads) < std::max<int64_t>(before, ranks)) {
    samples->second = now.at("samples");
  }
}

}  // namespace

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
    if (trainer.feed().batches_per_epoch() > 0) {
      fit_ranks(checkpoint, ranks_of(trainer.step()), trainer.feed().state_dict(), &data);
      trainer.feed().load_state_dict(data);
    }
    trainer.step().load_states(checkpoint.values);
  } catch (const Error& e) {
    throw_error(e.code(), cat("cannot go on from '", checkpoint.path, "': ", e.message()));
  }
  trainer.set_steps_done(checkpoint.step);
}

}  // namespace rutile::train

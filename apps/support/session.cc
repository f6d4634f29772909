// SPDX-License-Identifier: Apache-2.0
#include "rutile/apps/support/session.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "rutile/apps/support/build_info.h"
#include "rutile/core/allocator.h"
#include "rutile/core/device.h"
#include "rutile/core/log.h"
#include "rutile/core/thread.h"
#include "rutile/dist/group.h"
#include "rutile/train/callbacks.h"
#include "rutile/train/report.h"
#include "rutile/train/text.h"

namespace rutile::apps {
namespace {

using train::Evaluation;
using train::fixed;
using train::grouped;

bool first_rank() { return dist::rank() == 0; }

// Rank 0 speaks for all.
void say(const std::string& line) {
  if (!first_rank()) return;
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

// How the run was started. Nothing here differs between a run and its continuation.
train::Metadata manifest(const Options& o, const Work& work) {
  return {{"program", o.program},
          {"network", work.network},
          {"rutile_version", version()},
          {"git_commit", git_commit()},
          {"dataset", o.dataset},
          {"recipe", o.recipe.dataset},
          {"image_size", cat(o.image_size)},
          {"batch_size", cat(o.batch_size)},
          {"epochs", cat(o.epochs)},
          {"steps", cat(o.steps)},
          {"mode", o.mode},
          {"precision", o.precision},
          {"device", o.device},
          {"lr", cat(o.lr)},
          {"seed", cat(o.seed)},
          {"threads", cat(num_threads())}};
}

class Session {
 public:
  Session(const Options& o, Data& data, const Work& work)
      : o_(o),
        data_(data),
        work_(work),
        manifest_(manifest(o, work)),
        step_(work.net, work.loss, work.optimizer, o.step_options()),
        eval_(work.net, o.step_options()),
        trainer_(step_, *data.feed,
                 {.epochs = o.epochs,
                  .steps = data.train ? o.steps : data.total_steps(o),
                  .items_per_sample = work.items_per_sample}) {
    if (!o.checkpoint.empty()) folder_.emplace(train::CheckpointFolderOptions{o.checkpoint});
  }

  void run() {
    check_places();
    say(cat(o_.program, ": ", work_.network, " with ", grouped(work_.net->num_elements()),
            " parameters; ", o_.dataset, ": ", data_.description, "; ", o_.mode, ", ", o_.precision,
            ", ", o_.device == "cpu" ? "" : cat(o_.device, ", "), num_threads(), " thread(s)",
            dist::size() > 1 ? cat(", ", dist::size(), " ranks") : ""));
    if (o_.explain) return explain();
    if (folder_) prepare_checkpoints();
    add_callbacks();
    const train::History history = trainer_.run();
    finish(history);
  }

 private:
  void explain() {
    constexpr int kSteps = 3;
    dataset::Batch batch = data_.feed->next();
    for (int i = 0; i < kSteps; ++i) step_(batch.x(), batch.labels());
    const graph::Explanation e = step_.explain(batch.x(), batch.labels());
    say(e.text());
    if (o_.explain_folder.empty()) return;
    e.write(o_.explain_folder);
    say(cat("written to '", o_.explain_folder,
            "': explain.txt, explain.json, memory.svg, graph.txt, graph.dot"));
  }

  // What would fail at the end fails now.
  void check_places() {
    if (!o_.explain_folder.empty()) {
      train::check_writable_folder(o_.explain_folder, "the folder of --explain");
    }
    if (folder_) folder_->check(step_.named_states());
    if (o_.json.empty()) return;
    const std::filesystem::path parent = std::filesystem::path(o_.json).parent_path();
    train::check_writable_folder(parent.empty() ? "." : parent.string(), "the folder of --json");
    std::error_code ignored;
    const auto status = std::filesystem::status(o_.json, ignored);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
      throw_error(ErrorCode::kValue, cat("the file of --json, '", o_.json,
                                         "', cannot be used: it is there and is no regular file"));
    }
  }

  void prepare_checkpoints() {
    if (!o_.resume) {
      if (!first_rank()) return;
      if (const int n = folder_->set_aside(); n > 0) {
        say(cat("moved ", n, " checkpoint(s) of an earlier run to '", folder_->path(),
                "/previous'"));
      }
      return;
    }
    const std::optional<train::Checkpoint> latest = folder_->latest_of_ranks();
    if (!latest) {
      say(cat("no checkpoint in '", folder_->path(), "' yet: starting from the beginning"));
      return;
    }
    const auto recipe = latest->metadata.find("recipe");
    if (recipe != latest->metadata.end() && recipe->second != o_.recipe.dataset) {
      throw_error(ErrorCode::kValue, cat("'", latest->path, "' is of a run on ", recipe->second,
                                         ", this one is on ", o_.recipe.dataset));
    }
    train::resume(trainer_, *latest);
    resumed_from_ = latest->path;
    // The checkpoint's learning rate stands in its states; another one was asked for. A schedule
    // has it already.
    const auto lr = latest->metadata.find("lr");
    if (lr != latest->metadata.end() && lr->second != cat(o_.lr)) work_.optimizer->set_lr(o_.lr);
    std::string differences;
    for (const auto& [key, value] : manifest_) {
      const auto it = latest->metadata.find(key);
      if (it == latest->metadata.end() || it->second == value) continue;
      differences +=
          cat(differences.empty() ? "" : ", ", key, " (", it->second, " -> ", value, ")");
    }
    if (!differences.empty()) {
      log_warning(cat("going on with other settings than the checkpoint's: ", differences));
    }
    say(cat("going on from '", latest->path, "', step ", latest->step, " of ",
            trainer_.total_steps()));
  }

  void add_callbacks() {
    if (first_rank()) {
      trainer_.add(std::make_shared<train::ProgressCallback>(progress_, work_.unit));
    }
    if (folder_) {
      checkpoints_ = std::make_shared<train::CheckpointCallback>(
          *folder_, train::CheckpointCallbackOptions{.every_steps = o_.checkpoint_steps,
                                                     .metadata = manifest_});
      trainer_.add(checkpoints_);
    }
    if (!data_.test || trainer_.options().epochs < 2) return;
    trainer_.add(std::make_shared<train::EpochCallback>(
        [this](train::Trainer& t, const train::StepInfo& last, double mean_loss) {
          evaluate();
          say(cat("epoch ", last.epoch + 1, "/", t.options().epochs, ": mean loss ",
                  fixed(mean_loss, 4), ", test loss ", fixed(evaluation_->loss, 4),
                  ", test accuracy ", fixed(evaluation_->accuracy, 4)));
        }));
  }

  void evaluate() {
    evaluation_ = train::evaluate(eval_, *data_.test,
                                  {.loss = work_.loss,
                                   .progress = first_rank() ? &progress_ : nullptr,
                                   .unit = work_.unit,
                                   .items_per_sample = work_.items_per_sample});
    evaluated_at_ = trainer_.steps_done();
    test_seconds_ += evaluation_->seconds;
  }

  void finish(const train::History& history) {
    const double in_training = history.seconds - test_seconds_;
    if (data_.test && evaluated_at_ != trainer_.steps_done()) evaluate();
    const train::RunReport r = report(history, in_training);
    if (!first_rank()) return;
    std::fputs(train::table(r).c_str(), stdout);
    if (!o_.json.empty()) train::write_json(o_.json, r);
    if (work_.before_last_line) work_.before_last_line();
    if (evaluation_) say(cat("test accuracy: ", fixed(evaluation_->accuracy, 4)));
  }

  train::RunReport report(const train::History& h, double in_training) const {
    train::RunReport r;
    r.program = o_.program;
    r.network = work_.network;
    r.dataset = o_.dataset;
    r.precision = o_.precision;
    r.mode = o_.mode;
    r.parameters = work_.net->num_elements();
    r.batch_size = o_.batch_size;
    r.image_size = o_.image_size;
    r.threads = num_threads();
    r.epochs = data_.train ? o_.epochs : 0;
    r.unit = work_.unit;
    const auto done = static_cast<int64_t>(h.losses.size());
    const int64_t skip = std::min(o_.synthetic() ? o_.warm_up_steps() : 4, done - 1);
    r.steps = done - std::max<int64_t>(skip, 0);
    r.total_steps = trainer_.steps_done();
    if (done > 0) {
      r.items_per_second = h.median_items_per_second(skip) * dist::size();
      r.best_items_per_second = h.best_items_per_second(skip) * dist::size();
      r.step_ms = 1e3 * h.median_seconds(skip);
      r.first_step_s = h.step_seconds[0];
      r.final_loss = h.losses.back();
      r.input_wait = h.wait_seconds / in_training;
    }
    if (const graph::CompileReport* c = step_.report()) {
      r.arena_mb = static_cast<double>(c->memory.peak) / (1 << 20);
      r.kernels_per_step = c->kernels;
    } else if (done > 0 && !o_.graph()) {
      r.kernels_per_step = static_cast<double>(h.calls_per_step);
    }
    if (evaluation_) {
      r.test_accuracy = evaluation_->accuracy;
      r.test_loss = evaluation_->loss;
      r.test_seconds = test_seconds_;
    }
    r.train_seconds = in_training;
    r.total_seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    r.peak_rss_mb = train::peak_rss_mb();
    Device device;
    if (parse_device(o_.device, &device) && !(device == kCpu)) {
      r.device_peak_mb = static_cast<double>(allocator(device).stats().peak_live_bytes) / (1 << 20);
    }
    r.checkpoint = checkpoints_ && !checkpoints_->last_path().empty() ? checkpoints_->last_path()
                                                                      : resumed_from_;
    return r;
  }

  using Clock = std::chrono::steady_clock;
  const Clock::time_point start_ = Clock::now();
  const Options& o_;
  Data& data_;
  const Work& work_;
  const train::Metadata manifest_;
  nn::TrainStep step_;
  nn::EvalStep eval_;
  train::Progress progress_;
  train::Trainer trainer_;
  std::optional<train::CheckpointFolder> folder_;
  std::shared_ptr<train::CheckpointCallback> checkpoints_;
  std::string resumed_from_;
  std::optional<Evaluation> evaluation_;
  int64_t evaluated_at_ = -1;
  double test_seconds_ = 0;
};

}  // namespace

void train_and_report(const Options& options, Data& data, const Work& work) {
  Device device;
  if (!parse_device(options.device, &device)) return;  // the options were checked
  work.net->to(device);
  Session(options, data, work).run();
}

}  // namespace rutile::apps

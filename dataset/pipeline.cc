// SPDX-License-Identifier: Apache-2.0
// Batches have tickets, numbered from the first one of epoch 0. A worker takes the next ticket
// below a limit that moves with the consumer, makes the batch and leaves it in the slot of the
// ticket.
#include "rutile/dataset/pipeline.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>

#include "rutile/core/interrupt_hold.h"
#include "rutile/core/log.h"
#include "rutile/core/thread.h"
#include "rutile/dataset/batcher.h"

namespace rutile::dataset {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPoll = std::chrono::milliseconds(50);

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

double warning_period() {
  const char* text = std::getenv("RUTILE_DATASET_TIMEOUT");
  if (text == nullptr || *text == '\0') return 30;
  char* end = nullptr;
  const double seconds = std::strtod(text, &end);
  if (*end != '\0' || !(seconds >= 0)) {
    throw_error(ErrorCode::kValue,
                cat("RUTILE_DATASET_TIMEOUT is a number of seconds, got '", text, "'"));
  }
  return seconds;
}

// Signals go to the threads that the user knows.
class BlockSignals {
 public:
  BlockSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &saved_);
  }
  ~BlockSignals() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }

 private:
  sigset_t saved_;
};

}  // namespace

class Pipeline::Impl {
 public:
  Impl(SourcePtr source, const PipelineOptions& options)
      : batcher_(std::move(source), options), warning_period_(warning_period()) {
    const int64_t epochs = options.repeat;
    per_end_ = epochs == 0 ? 0 : epochs * batcher_.batches_per_epoch();
    end_ = next_end(0);
    slots_.resize(static_cast<size_t>(std::max({options.prefetch, options.workers, 1})));
  }

  ~Impl() {
    {
      std::lock_guard lock(mutex_);
      ++generation_;
      quit_ = true;
    }
    work_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  bool next(Batch* batch) {
    if (position_ == end_) {
      end_ = next_end(position_);
      return false;
    }
    if (options().workers == 0) {
      const auto start = Clock::now();
      Batch made = batcher_.make(position_, &scratch_, &activity_, [] {
        check_interrupt_within_step();
        return false;
      });
      waited_ += seconds_since(start);
      *batch = std::move(made);
      ++position_;
      return true;
    }
    start_threads();
    std::unique_lock lock(mutex_);
    allow_work();
    Slot& slot = slot_of(position_);
    if (slot.ticket != position_) wait_for(slot, lock);
    if (slot.error) throw Error(*slot.error);
    *batch = std::move(slot.batch);
    slot = Slot();
    ++position_;
    allow_work();
    return true;
  }

  void seek(int64_t epoch, int64_t batch) {
    const int64_t per_epoch = batcher_.batches_per_epoch();
    if (epoch < 0 || batch < 0 || batch > per_epoch ||
        epoch >= std::numeric_limits<int64_t>::max() / per_epoch / 2) {
      throw_error(ErrorCode::kValue, cat("there is no batch ", batch, " in epoch ", epoch,
                                         ", an epoch has ", per_epoch, " batches"));
    }
    std::lock_guard lock(mutex_);
    ++generation_;
    for (Slot& slot : slots_) slot = Slot();
    position_ = claimed_ = limit_ = epoch * per_epoch + batch;
    // "After the last batch" and "before the first of the next epoch" are the same place, but only
    // the first of them is still to give its false.
    const bool at_end = batch == per_epoch && per_end_ != 0 && position_ % per_end_ == 0;
    end_ = at_end ? position_ : next_end(position_);
  }

  // (epoch, batch) of the next batch; batch == batches_per_epoch() where next() returns false.
  std::pair<int64_t, int64_t> position() const {
    const int64_t n = batcher_.batches_per_epoch();
    if (position_ == end_) return {position_ / n - 1, n};
    return {position_ / n, position_ % n};
  }
  const Batcher& batcher() const { return batcher_; }
  const PipelineOptions& options() const { return batcher_.options(); }
  double waited() const { return waited_; }

 private:
  struct Slot {
    int64_t ticket = -1;
    Batch batch;
    std::optional<Error> error;
  };

  int64_t next_end(int64_t position) const {
    if (per_end_ == 0) return std::numeric_limits<int64_t>::max();
    return (position / per_end_ + 1) * per_end_;
  }
  Slot& slot_of(int64_t ticket) { return slots_[static_cast<size_t>(ticket) % slots_.size()]; }

  // Nothing of the next epoch is begun before it is asked for.
  void allow_work() {
    const int64_t ahead = static_cast<int64_t>(slots_.size());
    const int64_t limit = end_ - position_ > ahead ? position_ + ahead : end_;
    if (limit <= limit_) return;
    limit_ = limit;
    work_.notify_all();
  }

  void wait_for(const Slot& slot, std::unique_lock<std::mutex>& lock) {
    const auto start = Clock::now();
    double warn_at = warning_period_;
    while (slot.ticket != position_) {
      check_interrupt_within_step();
      done_.wait_for(lock, kPoll);
      const double waited = seconds_since(start);
      if (warning_period_ > 0 && waited >= warn_at && slot.ticket != position_) {
        warn_at = waited + warning_period_;
        log_warning(slow_message(waited));
      }
    }
    waited_ += seconds_since(start);
  }

  std::string slow_message(double waited) const {
    std::string who;
    for (size_t i = 0; i < threads_.size(); ++i) {
      const Activity& a = activities_[i];
      if (a.ticket.load() != position_) continue;
      const int64_t sample = a.sample.load();
      const std::string where = sample < 0 ? "" : batcher_.source().describe(sample);
      who = cat(": worker ", i, " is at ", a.operation.load(), " of sample ", sample,
                where.empty() ? "" : cat(" (", where, ")"));
    }
    const int64_t n = batcher_.batches_per_epoch();
    return cat("dataset: batch ", position_ % n, " of epoch ", position_ / n, " has not come for ",
               static_cast<int64_t>(waited), " s", who);
  }

  void start_threads() {
    if (!threads_.empty()) return;
    const BlockSignals block;
    activities_ = std::vector<Activity>(static_cast<size_t>(options().workers));
    for (int i = 0; i < options().workers; ++i) {
      try {
        threads_.emplace_back([this, i] { work(&activities_[i]); });
      } catch (const std::system_error& e) {
        if (threads_.empty()) {
          throw_error(ErrorCode::kRuntime, cat("cannot start a dataset thread: ", e.what()));
        }
        return;  // fewer make the same batches
      }
    }
  }

  void work(Activity* activity) {
    const ThreadCountScope one_thread(1);
    Batcher::Scratch scratch;
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return quit_ || claimed_ < limit_; });
      if (quit_) return;
      const int64_t ticket = claimed_++;
      const uint64_t generation = generation_.load(std::memory_order_relaxed);
      lock.unlock();
      activity->ticket.store(ticket);
      Slot made = make_slot(ticket, generation, &scratch, activity);
      activity->ticket.store(-1);
      lock.lock();
      if (generation_.load(std::memory_order_relaxed) != generation) continue;
      slot_of(ticket) = std::move(made);
      done_.notify_one();
    }
  }

  Slot make_slot(int64_t ticket, uint64_t generation, Batcher::Scratch* scratch,
                 Activity* activity) const {
    Slot slot;
    slot.ticket = ticket;
    try {
      slot.batch = batcher_.make(ticket, scratch, activity, [&] {
        return generation_.load(std::memory_order_relaxed) != generation;
      });
    } catch (const Error& e) {
      slot.error = e;
    } catch (...) {
      slot.error =
          Error(ErrorCode::kRuntime, cat("[dataset] ", activity->operation.load(), " of sample ",
                                         activity->sample.load(), ": unknown exception"));
    }
    return slot;
  }

  const Batcher batcher_;
  const double warning_period_;
  int64_t per_end_ = 0;   // batches between two ends, 0: there is no end
  int64_t position_ = 0;  // ticket that next() gives
  int64_t end_ = 0;       // ticket at which it returns false
  double waited_ = 0;
  Batcher::Scratch scratch_;  // of the caller's thread
  Activity activity_;

  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::vector<Slot> slots_;
  int64_t claimed_ = 0, limit_ = 0;      // workers take tickets in [claimed_, limit_)
  std::atomic<uint64_t> generation_{0};  // counts what makes work in progress void
  bool quit_ = false;
  std::vector<Activity> activities_;
  std::vector<std::thread> threads_;
};

Pipeline::Pipeline(SourcePtr source, PipelineOptions options)
    : impl_(std::make_unique<Impl>(std::move(source), options)) {}
Pipeline::~Pipeline() = default;
Pipeline::Pipeline(Pipeline&&) noexcept = default;
Pipeline& Pipeline::operator=(Pipeline&&) noexcept = default;

bool Pipeline::next(Batch* batch) { return impl_->next(batch); }
int64_t Pipeline::batches_per_epoch() const { return impl_->batcher().batches_per_epoch(); }
int64_t Pipeline::samples() const { return impl_->batcher().rows(); }
const Source& Pipeline::source() const { return impl_->batcher().source(); }
const PipelineOptions& Pipeline::options() const { return impl_->options(); }
double Pipeline::wait_seconds() const { return impl_->waited(); }
void Pipeline::seek(int64_t epoch, int64_t batch) { impl_->seek(epoch, batch); }

std::map<std::string, int64_t> Pipeline::state_dict() const {
  const auto [epoch, batch] = impl_->position();
  const PipelineOptions& o = options();
  return {{"epoch", epoch},
          {"batch", batch},
          {"samples", samples()},
          {"seed", static_cast<int64_t>(o.seed)},
          {"batch_size", o.batch_size},
          {"shuffle", o.shuffle},
          {"drop_last", o.drop_last}};
}

void Pipeline::load_state_dict(const std::map<std::string, int64_t>& state) {
  for (const auto& [key, value] : state_dict()) {
    const auto it = state.find(key);
    if (it == state.end()) {
      throw_error(ErrorCode::kValue, cat("the dataset's state has no '", key, "'"));
    }
    if (key != "epoch" && key != "batch" && it->second != value) {
      throw_error(ErrorCode::kValue, cat("the dataset's state was saved with ", key, " = ",
                                         it->second, ", here it is ", value));
    }
  }
  seek(state.at("epoch"), state.at("batch"));
}

}  // namespace rutile::dataset

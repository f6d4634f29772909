// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "rutile/kernels/fake/activity.h"
#include "rutile/kernels/fake/device.h"

namespace rutile::fake {

std::atomic<int>& longest_delay() {
  static std::atomic<int> microseconds{0};
  return microseconds;
}

Counts& counts() {
  static Counts c;
  return c;
}

void EventState::mark(uint64_t number) {
  {
    std::lock_guard lock(mutex);
    done = std::max(done, number);
    clock = Timeline::now();
    at = std::chrono::steady_clock::now();
  }
  reached.notify_all();
}

void EventState::wait(uint64_t number) {
  double until = 0;
  {
    std::unique_lock lock(mutex);
    reached.wait(lock, [&] { return done >= number; });
    until = clock;
  }
  Timeline::wait_until(until);
}

Worker::Worker(StreamKind kind)
    : random_(reinterpret_cast<uintptr_t>(this) | 1), place_{kind, 0}, thread_([this] {
        loop();
      }) {}

Worker::~Worker() { stop(); }

void Worker::run(Work& work) {
  if (const int longest = longest_delay().load(std::memory_order_relaxed); longest > 0) {
    random_ = random_ * 6364136223846793005u + 1442695040888963407u;
    const auto n = static_cast<int>((random_ >> 33) % static_cast<uint64_t>(longest));
    std::this_thread::sleep_for(std::chrono::microseconds(n));
  }
  Status s;
  try {
    const Timeline::Scope timed(&place_);
    s = work();
  } catch (const Error& e) {
    s = Status(e.code(), e.message());
  } catch (const std::exception& e) {
    s = Status(ErrorCode::kInternal, e.what());
  }
  activity_op() = 0;
  if (s.ok()) return;
  std::lock_guard lock(mutex_);
  if (error_.ok()) error_ = std::move(s);
}

void Worker::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) break;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    run(work);
    work = nullptr;  // what it holds goes before anybody hears that it is done
    lock.lock();
    busy_ = false;
    if (queue_.empty()) changed_.notify_all();
  }
  stopped_ = true;
}

Status Worker::add(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (capture_) {
      std::lock_guard inner(capture_->mutex);
      const uint64_t op = recording_activity() ? activity_op() : 0;
      capture_->items.push_back({std::move(work), this, op});
      return Status();
    }
    if (const uint64_t op = recording_activity() ? activity_op() : 0; op != 0) {
      work = [op, inner = std::move(work)] {
        activity_op() = op;
        return inner();
      };
    }
    if (!stopped_ && !stopping_) {
      queue_.push_back(std::move(work));
      changed_.notify_all();
      return Status();
    }
  }
  run(work);
  return Status();
}

Status Worker::sync() {
  std::unique_lock lock(mutex_);
  if (capture_) return Status(ErrorCode::kRuntime, "a stream that is being captured cannot wait");
  changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
  return std::exchange(error_, Status());
}

Status Worker::begin_capture(bool part) {
  std::lock_guard lock(mutex_);
  if (capture_) return Status(ErrorCode::kRuntime, "the stream is being captured already");
  capture_ = std::make_shared<Capture>();
  capture_->part = part;
  return Status();
}

Status Worker::end_capture(std::shared_ptr<Capture>* out) {
  {
    std::lock_guard lock(mutex_);
    if (!capture_) return Status(ErrorCode::kRuntime, "the stream is not being captured");
    *out = std::exchange(capture_, nullptr);
  }
  (*out)->open = false;
  for (Worker* w : (*out)->joined) {
    std::lock_guard lock(w->mutex_);
    w->capture_.reset();
  }
  return Status();
}

void Worker::join(const std::shared_ptr<Capture>& capture) {
  std::lock_guard lock(mutex_);
  if (capture_) return;
  capture_ = capture;
  std::lock_guard inner(capture->mutex);
  capture->joined.push_back(this);
}

std::shared_ptr<Capture> Worker::capturing() {
  std::lock_guard lock(mutex_);
  return capture_;
}

namespace {

// Captured work is what it was captured for, else what the launch is for; recorded when its time
// ends, before this does.
class CapturedFor {
 public:
  explicit CapturedFor(const Capture::Item& item) : launched_(activity_op()) {
    if (item.op != 0) activity_op() = item.op;
  }
  ~CapturedFor() { activity_op() = launched_; }
  CapturedFor(const CapturedFor&) = delete;
  CapturedFor& operator=(const CapturedFor&) = delete;

 private:
  const uint64_t launched_;
};

}  // namespace

// One after the other, in the order in which they were queued; each stream has its own time.
Status Worker::replay(Capture& capture) {
  std::vector<std::pair<Worker*, Place>> places;
  places.emplace_back(nullptr, place_);  // the stream that was captured goes on here
  const Worker* const origin = capture.items.empty() ? nullptr : capture.items.front().on;
  const double begin = place_.now;
  activity_launch() = next_launch();
  struct Launched {
    ~Launched() { activity_launch() = 0; }
  } launched;
  for (const Capture::Item& item : capture.items) {
    Worker* const on = item.on == origin ? nullptr : item.on;
    auto it = std::find_if(places.begin(), places.end(), [&](auto& p) { return p.first == on; });
    if (it == places.end()) {
      it = places.insert(places.end(), {on, Place{on->place_.kind, begin}});
    }
    const CapturedFor op(item);
    const Timeline::Scope timed(&it->second);
    RUTILE_RETURN_IF_ERROR(item.work());
  }
  place_.now = places.front().second.now;
  return Status();
}

Status Worker::replay_part(Capture& capture) {
  for (const Capture::Item& item : capture.items) {
    const CapturedFor op(item);
    const Timeline::Scope timed(Timeline::place());
    RUTILE_RETURN_IF_ERROR(item.work());
  }
  return Status();
}

void Worker::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

}  // namespace rutile::fake

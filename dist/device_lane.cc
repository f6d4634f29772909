// SPDX-License-Identifier: Apache-2.0
#include "rutile/dist/device_lane.h"

#include <algorithm>

#include "rutile/core/native_stream.h"
#include "rutile/dist/plugin_call.h"

namespace rutile::dist {

DeviceLane::DeviceLane(const CommPlugin& plugin, void* comm, Device device, double timeout,
                       Failed failed)
    : plugin_(plugin),
      comm_(comm),
      runtime_(device_runtime(device)),
      fns_(runtime_.fns()),
      index_(device.index),
      timeout_(timeout),
      failed_(std::move(failed)),
      stream_(runtime_.stream(StreamKind::kCommunication)),
      check_(std::make_unique<DeviceCheck>(device, [this] { return settled(); })),
      thread_([this] { watch(); }) {}

DeviceLane::~DeviceLane() {
  drain();
  check_.reset();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  running_.clear();
  pending_.clear();
  kept_.clear();
  for (const Event e : free_) (void)fns_.event_destroy(index_, e);
  plugin_.functions.destroy(comm_);
}

DeviceLane::Point DeviceLane::make_point() {
  Event e = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      e = free_.back();
      free_.pop_back();
    }
  }
  if (!e) throw_if_error(fns_.event_create(index_, &e));
  return Point(e, [this](Event gone) {
    const std::lock_guard lock(mutex_);
    free_.push_back(gone);
  });
}

Status DeviceLane::record(const Point& p, Stream stream) {
  return fns_.event_record(index_, p.get(), stream);
}

Status DeviceLane::perform(const Collective& c) {
  if (c.kind == CollectiveKind::kBroadcast && c.in != c.out) {
    const size_t bytes = static_cast<size_t>(c.shape.numel()) * dtype_size(c.dtype);
    RUTILE_RETURN_IF_ERROR(fns_.copy(index_, c.out, c.in, bytes, CopyKind::kOnDevice, stream_));
  }
  void* const stream = reinterpret_cast<void*>(native_stream(runtime_.device(), stream_));
  return call_plugin(plugin_.functions, comm_, c, stream);
}

// On the communication stream, behind what `stream` has been given.
Status DeviceLane::send_behind(const Collective& c, uint64_t number, Stream stream, Point* done) {
  const std::lock_guard ordered(order_);
  RUTILE_RETURN_IF_ERROR(health());
  const Point ready = make_point();
  *done = make_point();
  RUTILE_RETURN_IF_ERROR(record(ready, stream));
  RUTILE_RETURN_IF_ERROR(fns_.stream_wait(index_, stream_, ready.get()));
  if (Status s = perform(c); !s.ok()) {
    note(c, number, s);
    return health();
  }
  RUTILE_RETURN_IF_ERROR(record(*done, stream_));
  {
    const std::lock_guard lock(mutex_);
    if (captures(stream)) {
      captured_.push_back(c);
      kept_.insert(kept_.end(), {ready, *done});
    } else {
      running_.push_back({c, number, *done, deadline_in(timeout_)});
    }
  }
  changed_.notify_all();
  return Status();
}

Status DeviceLane::queue(const Collective& c, uint64_t number, Stream stream) {
  if (c.shape.numel() == 0) return Status();
  Point done;
  RUTILE_RETURN_IF_ERROR(send_behind(c, number, stream, &done));
  return fns_.stream_wait(index_, stream, done.get());
}

Status DeviceLane::start(const Collective& c, uint64_t number, Stream stream) {
  Point done;
  if (c.shape.numel() > 0) RUTILE_RETURN_IF_ERROR(send_behind(c, number, stream, &done));
  const std::lock_guard lock(mutex_);
  pending_.emplace_back(c.out, std::move(done));
  return Status();
}

Status DeviceLane::wait(const void* out, Stream stream) {
  Point done;
  {
    const std::lock_guard lock(mutex_);
    const auto it = std::find_if(pending_.begin(), pending_.end(),
                                 [&](const auto& p) { return p.first == out; });
    if (it == pending_.end()) {
      return Status(ErrorCode::kRuntime, "nothing was started that gives this tensor");
    }
    done = std::move(it->second);
    pending_.erase(it);
  }
  return done ? fns_.stream_wait(index_, stream, done.get()) : Status();
}

std::vector<Collective> DeviceLane::take_captured() {
  const std::lock_guard lock(mutex_);
  return std::exchange(captured_, {});
}

Status DeviceLane::replayed(const Collective& last, uint64_t number, Stream stream) {
  const Point done = make_point();
  RUTILE_RETURN_IF_ERROR(record(done, stream));
  {
    const std::lock_guard lock(mutex_);
    running_.push_back({last, number, done, deadline_in(timeout_)});
  }
  changed_.notify_all();
  return Status();
}

Status DeviceLane::health() const {
  const std::lock_guard lock(mutex_);
  return copy_of(failure_);
}

Status DeviceLane::settled() {
  std::unique_lock lock(mutex_);
  if (failure_.ok() && !running_.empty() && plugin_.functions.poll) {
    const Collective c = running_.front().c;
    const uint64_t number = running_.front().number;
    lock.unlock();
    if (const Status s = plugin_.functions.poll(comm_); !s.ok()) note(c, number, s);
    lock.lock();
  }
  return copy_of(failure_);
}

// Who comes second waits until the failure has its words.
void DeviceLane::note(const Collective& c, uint64_t number, const Status& s) {
  const std::lock_guard one(telling_);
  if (health().ok()) fail(failed_(c, number, s));
}

void DeviceLane::fail(const Status& why) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_.ok()) return;
    failure_ = copy_of(why);
  }
  changed_.notify_all();
  plugin_.functions.abort(comm_);
}

void DeviceLane::drain() {
  std::vector<std::pair<const void*, Point>> gone;  // points go back without the lock
  const std::lock_guard ordered(order_);
  (void)fns_.stream_sync(index_, stream_);
  const std::lock_guard lock(mutex_);
  gone.swap(pending_);
}

// The oldest: whether it is done, has failed or is too late. The lock is held.
void DeviceLane::look(std::unique_lock<std::mutex>& lock) {
  Running first = running_.front();
  lock.unlock();
  bool done = false;
  Status s = fns_.event_done(index_, first.done.get(), &done);
  // What has failed may be done, too.
  if (s.ok() && plugin_.functions.poll) s = plugin_.functions.poll(comm_);
  if (s.ok() && !done && left_ms(first.until) <= 0) {
    s = Status(ErrorCode::kRuntime, cat("it was not done within ", timeout_, " s"));
  }
  if (!s.ok()) note(first.c, first.number, s);
  first.done.reset();
  lock.lock();
  if (!done && failure_.ok()) return;
  Point back;
  if (!running_.empty()) {
    back = std::move(running_.front().done);
    running_.pop_front();
  }
  lock.unlock();
  back.reset();
  lock.lock();
}

void DeviceLane::watch() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (running_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const size_t before = running_.size();
    look(lock);
    if (running_.size() < before || stopping_) continue;
    changed_.wait_for(lock, std::chrono::milliseconds(5));
  }
}

}  // namespace rutile::dist

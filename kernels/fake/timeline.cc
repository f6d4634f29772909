// SPDX-License-Identifier: Apache-2.0
#include <ctime>

#include "rutile/kernels/fake/activity.h"
#include "rutile/kernels/fake/device.h"

namespace rutile::fake {
namespace {

// Of this thread.
thread_local Place* t_place = nullptr;
thread_local const char* t_label = nullptr;
thread_local bool t_said = false;  // the work itself says what it takes

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

Timeline& Timeline::get() {
  static auto* t = new Timeline;
  return *t;
}

void Timeline::set(bool on) {
  const std::lock_guard lock(mutex_);
  intervals_.clear();
  on_ = on;
}

std::vector<Interval> Timeline::intervals() {
  const std::lock_guard lock(mutex_);
  return intervals_;
}

void Timeline::add(Place& place, double seconds, bool waits, const char* what) {
  const double begin = place.now;
  place.now += seconds;
  const std::lock_guard lock(mutex_);
  intervals_.push_back({static_cast<int32_t>(place.kind), waits, what, begin, place.now});
}

Timeline::Scope::Scope(Place* place) : before_(t_place) {
  t_place = place;
  t_label = nullptr;
  t_said = false;
  if (get().on()) begin_cpu_ = processor_seconds();
  if (recording_activity()) begin_ns_ = activity_now();
}

Timeline::Scope::~Scope() {
  if (get().on() && !t_said && begin_cpu_ > 0) {
    get().add(*t_place, processor_seconds() - begin_cpu_, false, t_label ? t_label : "copy");
  }
  if (!t_said && begin_ns_ > 0 && recording_activity()) {
    record_activity(t_label, static_cast<int64_t>(t_place->kind), begin_ns_);
  }
  t_place = before_;
  t_said = true;  // work around this one has nothing of its own
}

void Timeline::label(const char* what) { t_label = what; }

void Timeline::spend(double seconds, const char* what) {
  t_said = true;
  if (get().on() && t_place) get().add(*t_place, seconds, false, what);
}

double Timeline::now() {
  t_said = true;
  return t_place ? t_place->now : 0;
}

Place* Timeline::place() { return t_place; }

void Timeline::wait_until(double clock) {
  t_said = true;
  if (!get().on() || !t_place || clock <= t_place->now) return;
  get().add(*t_place, clock - t_place->now, true, "wait");
}

}  // namespace rutile::fake
